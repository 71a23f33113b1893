"""Categories are numbered without gaps; what was never seen, is absent or is masked is missing."""

import numpy as np
import pytest

from features.spec import COLUMNS, INDEX
from models.encoding import ACTION, CATEGORIES, Encoder, Encoding, encoding_of

PLAN, CONTACTS = INDEX["trait_plan"], INDEX["contacts_30d"]


def rows(*plans: float) -> np.ndarray:
    made = np.full((len(plans), len(COLUMNS)), 1.5, dtype=np.float32)
    made[:, [INDEX[name] for name in CATEGORIES]] = 7.0
    made[:, PLAN] = plans
    return made


def test_known_categories_are_numbered_and_numbers_stay() -> None:
    encoding = encoding_of(rows(900.0, 12.0, 900.0, -1.0, np.nan))
    assert encoding.categories["trait_plan"] == (12, 900)
    read = Encoder(encoding).encode(rows(12.0, 900.0))
    assert read[:, PLAN].tolist() == [0.0, 1.0]
    assert read[:, CONTACTS].tolist() == [1.5, 1.5]


def test_unseen_absent_and_masked_are_missing() -> None:
    read = Encoder(encoding_of(rows(12.0))).encode(rows(13.0, -1.0, np.nan))
    assert np.isnan(read[:, PLAN]).all()


def test_the_rows_given_are_left_as_they_are() -> None:
    given = rows(12.0)
    Encoder(encoding_of(given)).encode(given)
    assert given[0, PLAN] == 12.0


def test_a_column_that_is_gone_is_missing_and_the_others_find_their_place() -> None:
    old = Encoding(("gone", "contacts_30d", "trait_plan"), {"trait_plan": (12, 900)})
    read = Encoder(old).encode(rows(900.0))
    assert np.isnan(read[0, 0])
    assert read[0, 1:].tolist() == [1.5, 1.0]


ACTION_AT = INDEX[ACTION]


def pairs(*made: tuple[float, float]) -> np.ndarray:
    """Rows of (action, plan)."""
    found = rows(*(plan for _, plan in made))
    found[:, ACTION_AT] = [action for action, _ in made]
    return found


def test_a_category_crossed_with_the_action_is_one_category_per_pair_seen() -> None:
    encoding = encoding_of(pairs((5.0, 12.0), (5.0, 900.0), (6.0, 900.0)))
    encoder, at = Encoder(encoding), list(encoding.crosses).index("trait_plan")
    read = encoder.cross(encoder.encode(pairs((6.0, 900.0), (5.0, 12.0), (5.0, 900.0), (6.0, 12.0))))
    assert read.shape == (4, len(COLUMNS) + len(encoding.crosses))
    assert read[:3, len(COLUMNS) + at].tolist() == [2.0, 0.0, 1.0]
    assert np.isnan(read[3, len(COLUMNS) + at])


@pytest.mark.parametrize("unknown", [8.0, -1.0, np.nan])
def test_an_action_never_met_is_told_apart_and_crosses_with_nothing(unknown: float) -> None:
    encoder = Encoder(encoding_of(pairs((5.0, 12.0), (6.0, 12.0))))
    encoded = encoder.encode(pairs((unknown, 12.0), (6.0, np.nan)))
    assert encoder.met(encoded).tolist() == [False, True]
    crossed = encoder.cross(encoded)[:, len(COLUMNS) :]
    assert np.isnan(crossed[0]).all()
    assert np.isnan(crossed[1]).sum() == 1


def test_only_what_varies_for_one_action_is_crossed_with_it() -> None:
    assert set(encoding_of(rows(12.0)).crosses) == set(CATEGORIES) - {ACTION, "action_category"}
