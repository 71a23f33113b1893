"""The population stability index: known answers, and what chance alone may do to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.drift import MOVES, SHIFTED, SHIFTS, STEADY, TOO_FEW, Bins, by_chance, verdict_of

DRAW = np.random.default_rng(5)


def test_the_same_numbers_have_an_index_of_zero() -> None:
    values = DRAW.normal(size=500)
    assert Bins(values).psi(values)[0] == 0.0


def test_two_halves_swapped_have_the_index_of_the_textbook() -> None:
    """(0.8 - 0.2) ln(0.8 / 0.2) twice."""
    before, after = np.repeat([0.0, 1.0], [800_000, 200_000]), np.repeat([0.0, 1.0], [200_000, 800_000])
    assert Bins(before).psi(after)[0] == pytest.approx(2 * 0.6 * np.log(4.0), rel=1e-4)


def test_more_masked_values_are_a_shift_of_their_own() -> None:
    before = np.where(np.arange(1000) % 10 == 0, np.nan, 1.0)
    after = np.where(np.arange(1000) % 2 == 0, np.nan, 1.0)
    index, chance = Bins(before).psi(after)
    assert verdict_of(index, chance) == SHIFTS


@pytest.mark.parametrize("new", [7.0, -7.0, 0.5])
def test_a_value_the_reference_never_had_is_seen(new: float) -> None:
    before = np.repeat([0.0, 1.0], 500)
    assert Bins(before).psi(np.where(np.arange(1000) % 3 == 0, new, before))[0] > SHIFTED


def test_chance_exceeds_its_bound_about_once_in_a_thousand() -> None:
    before = DRAW.normal(size=2000)
    bins = Bins(before)
    found = [bins.psi(DRAW.normal(size=300)) for _ in range(2000)]
    assert sum(index > chance for index, chance in found) <= 12
    # and the bound is not so wide that nothing ever reaches it
    assert max(index / chance for index, chance in found) > 0.6


def test_nothing_to_compare_is_no_drift() -> None:
    empty = np.empty(0)
    assert Bins(empty).psi(empty) == (0.0, 0.0)
    assert by_chance(1, 10, 10) == 0.0


@pytest.mark.parametrize(
    ("index", "chance", "word"),
    [(None, 0.0, TOO_FEW), (0.05, 0.0, STEADY), (0.15, 0.1, MOVES), (0.3, 0.1, SHIFTS), (0.3, 0.4, STEADY)],
)
def test_an_index_in_a_word(index: float | None, chance: float, word: str) -> None:
    assert verdict_of(index, chance) == word


numbers = st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=1, max_size=60)


@settings(max_examples=60)
@given(numbers, numbers)
def test_no_numbers_break_it_and_no_index_is_negative(before: list[float], after: list[float]) -> None:
    bins = Bins(np.asarray(before, dtype=np.float64))
    values = np.asarray(after, dtype=np.float64)
    index, chance = bins.psi(values)
    assert np.isfinite(index)
    assert index >= -1e-12
    assert chance >= 0.0
    assert bins.counts(values).sum() == len(after)
