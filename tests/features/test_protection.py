"""Which columns no model may use: what the table marks and what the configuration adds, less what it allows."""

from features.protection import ATTRIBUTES, Protection, used_against
from features.spec import COLUMNS, FEATURES, MONOTONE, NUMBER


def test_age_is_protected_without_being_named() -> None:
    assert dict(Protection().columns()) == {"trait_age": "age"}


def test_traits_and_columns_can_be_named() -> None:
    found = Protection(protected=("country", "last_category"))
    assert dict(found.columns()) == {
        "trait_country": "country",
        "trait_age": "age",
        "last_category": "last_category",
    }
    assert used_against(found, ["hour", "trait_country"]) == {"trait_country": "country"}


def test_what_is_allowed_with_a_reason_may_be_used() -> None:
    found = Protection(protected=("country",), allowed={"age": "by law", "country": "prices differ"})
    assert not found.columns()
    assert used_against(found, COLUMNS) == {}


def test_every_column_has_one_name_as_an_attribute() -> None:
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == len(COLUMNS)


def test_a_direction_is_declared_for_numbers_that_exist() -> None:
    declared = {f.name: f.monotone for f in FEATURES if f.monotone}
    assert declared == MONOTONE
    assert all(f.kind == NUMBER for f in FEATURES if f.monotone)
    assert set(MONOTONE.values()) <= {1, -1}
