"""Intervals that may be looked at any time: how often they cry wolf, what they find, and when the arms' sizes do."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import chisquare

from models.effect import FEWEST, Bools, Bounds, bounds, contrasts, evidence, half_widths, mixture_scale, ratio
from models.scorer import Floats

RUNS, PEOPLE, BATCH = 1000, 4000, 50
MONTE_CARLO = 3 * (0.05 * 0.95 / RUNS) ** 0.5


def dealt(runs: int, share: float, seed: int) -> tuple[np.random.Generator, Bools]:
    draw = np.random.default_rng(seed)
    return draw, draw.random((runs, PEOPLE)) < share


def looked_at(found: Bounds) -> Bools:
    """Whether a run excluded zero at any look after a batch."""
    looks = slice(BATCH - 1, None, BATCH)
    return np.asarray(((found.low[:, looks] > 0.0) | (found.high[:, looks] < 0.0)).any(axis=1))


def responding(draw: np.random.Generator, rate: float) -> Floats:
    return np.asarray(draw.random((RUNS, PEOPLE)) < rate, dtype=np.float64)


RESPONSES: dict[str, Callable[[np.random.Generator], Floats]] = {
    "rare": lambda draw: responding(draw, 0.03),
    "now and then": lambda draw: responding(draw, 0.1),
    "counts in which people differ": lambda draw: np.asarray(
        draw.poisson(draw.gamma(0.5, 0.8, (RUNS, PEOPLE))), dtype=np.float64
    ),
}
COUNTS = "counts in which people differ"
CASES = [("rare", 0.5), ("now and then", 0.9), (COUNTS, 0.5), (COUNTS, 0.9), (COUNTS, 0.97)]


@pytest.mark.parametrize(("responses", "share"), CASES)
def test_a_thousand_runs_without_an_effect_seldom_find_one(responses: str, share: float) -> None:
    draw, treated = dealt(RUNS, share, 20_261)
    found = bounds(RESPONSES[responses](draw), treated, share)
    assert looked_at(found).mean() <= 0.05 + MONTE_CARLO
    assert np.isfinite(found.low[:, -1]).mean() > 0.9


def test_a_hundred_effects_of_a_stated_size_are_all_found() -> None:
    """From 10 % to 16 % responding, 4,000 people, half of them treated."""
    draw, treated = dealt(100, 0.5, 7)
    values = np.asarray(draw.random((100, PEOPLE)) < np.where(treated, 0.16, 0.10), dtype=np.float64)
    found = bounds(values, treated, 0.5)
    assert ((found.low > 0.0).any(axis=1)).sum() == 100
    assert not (found.high < 0.0).any()
    assert (np.abs(found.effect[:, -1] - 0.06) < 0.05).all()


def test_all_intervals_together_hold_the_true_effect() -> None:
    draw, treated = dealt(RUNS, 0.8, 11)
    values = draw.normal(0.0, 1.0, (RUNS, PEOPLE)) + 0.1 * treated
    found = bounds(values, treated, 0.8)
    missed = ((found.low > 0.1) | (found.high < 0.1)).any(axis=1)
    assert missed.mean() <= 0.05 + MONTE_CARLO


def test_nothing_is_concluded_from_a_few() -> None:
    draw, treated = dealt(1, 0.5, 3)
    found = bounds(draw.normal(5.0 * treated, 0.1), treated, 0.5)
    smaller = np.minimum(np.cumsum(treated), np.cumsum(~treated))
    assert np.isinf(found.low[0][smaller < FEWEST]).all()
    assert (found.low[0][smaller >= FEWEST] > 0).all()


def test_people_who_are_all_alike_say_nothing() -> None:
    treated = np.arange(1000) % 2 == 0
    assert np.isinf(bounds(np.zeros(1000), treated, 0.5).low).all()


def test_the_scores_by_hand() -> None:
    """Treated 1, other 0, treated 0, other 1 at a share of a quarter: means of those before are 0, 0, 1 and 0."""
    values, treated = np.asarray([1.0, 0.0, 0.0, 1.0]), np.asarray([True, False, True, False])
    want = [1 / 0.25, 1.0, 1.0 - 1.0 / 0.25, 0.5 - 1.0 / 0.75]
    assert contrasts(values, treated, 0.25) == pytest.approx(want)


def test_the_width_by_hand() -> None:
    """Equation (6) of the source with a standard deviation of 1 after 100 people."""
    rho2 = mixture_scale(0.05) ** 2
    want = ((2 * (100 * rho2 + 1)) / (100**2 * rho2) * np.log((100 * rho2 + 1) ** 0.5 / 0.05)) ** 0.5
    assert half_widths(np.asarray([1.0]), np.asarray([100.0]), 0.05) == pytest.approx([want])


def test_even_arms_seldom_look_uneven_however_often_one_looks() -> None:
    draw = np.random.default_rng(5)
    shares = np.asarray([0.7, 0.2, 0.1])
    steps = draw.multinomial(50, shares, size=(RUNS, 100)).cumsum(axis=1)
    assert (evidence(steps.astype(float), shares) >= 100.0).any(axis=1).mean() <= 0.01 + 3 * (0.01 / RUNS) ** 0.5


def test_an_arm_that_loses_a_tenth_is_noticed() -> None:
    found = ratio([5000, 4500], [0.5, 0.5])
    assert found.suspicious
    assert found.p_value == pytest.approx(chisquare([5000, 4500]).pvalue)
    assert not ratio([5000, 4950], [0.5, 0.5]).suspicious


@pytest.mark.parametrize(("counts", "shares"), [([0, 0], [0.5, 0.5]), ([9, 0], [1.0, 0.0]), ([], [])])
def test_nobody_or_one_arm_is_no_evidence(counts: list[int], shares: list[float]) -> None:
    assert ratio(counts, shares).evidence == 1.0
