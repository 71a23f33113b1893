"""Categories are numbered without gaps; what was never seen, is absent or is masked is missing."""

import numpy as np

from features.spec import COLUMNS, INDEX
from models.encoding import CATEGORIES, Encoder, Encoding, encoding_of

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
