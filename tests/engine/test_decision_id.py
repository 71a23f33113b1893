"""Decision ids: made from profile, time and entropy, and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision_id import decided_at, decision_id, is_decision_id, profile_of, ulid

ID = "abcdefghij234567"
times = st.integers(0, (1 << 48) - 1)


@given(times, st.binary(min_size=10, max_size=10))
def test_what_went_in_can_be_read(at: int, entropy: bytes) -> None:
    made = decision_id(ID, at, entropy)
    assert is_decision_id(made)
    assert profile_of(made) == ID
    assert decided_at(made) == at


@given(times, times, st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_time(first: int, second: int, one: bytes, other: bytes) -> None:
    if first < second:
        assert ulid(first, one) < ulid(second, other)


def test_the_form_is_the_published_one() -> None:
    assert ulid(1_469_918_176_385, bytes(10)) == "01ARYZ6S410000000000000000"


@pytest.mark.parametrize("ulid_part", ["", "01ARYZ6S41", "81ARYZ6S410000000000000000", "01ARYZ6S41000000000000000U"])
def test_anything_else_is_no_decision_id(ulid_part: str) -> None:
    assert not is_decision_id(f"{ID}.{ulid_part}")
    assert not is_decision_id(ID + ulid_part)
