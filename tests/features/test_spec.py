"""The table of features: names every tool accepts, a hash that changes with values and not with wording."""

import re

import msgspec
import pytest

from engine.parts import signal_purpose
from features.spec import CATEGORICAL, FEATURES, NUMBER, VIEWS, Feature, column


def test_every_feature_is_complete() -> None:
    for feature in FEATURES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", feature.name)
        assert feature.view in VIEWS
        assert feature.kind in (CATEGORICAL, NUMBER)
        assert feature.purpose
        assert feature.meaning


def test_features_of_a_view_stand_together() -> None:
    order = [feature.view for feature in FEATURES]
    assert order == sorted(order, key=VIEWS.index)


def test_a_signal_keeps_its_purpose_as_a_feature() -> None:
    for feature in FEATURES:
        if feature.source in ("decayed", "recency", "total"):
            assert feature.purpose == signal_purpose(feature.argument)


FEATURE = Feature("x", "profile", "decayed", "events", "service", "all events", half_life="1d")


@pytest.mark.parametrize(
    "change",
    [{"source": "total"}, {"argument": "sessions"}, {"purpose": "analytics"}, {"default": -1.0}, {"half_life": "30d"}],
)
def test_the_hash_changes_with_what_decides_a_value(change: dict[str, str]) -> None:
    assert msgspec.structs.replace(FEATURE, **change).spec_hash != FEATURE.spec_hash


def test_the_hash_does_not_change_with_the_wording() -> None:
    assert msgspec.structs.replace(FEATURE, meaning="every event").spec_hash == FEATURE.spec_hash


def test_a_column_name_is_plain() -> None:
    assert column("revenue.USD") == "revenue_usd"
