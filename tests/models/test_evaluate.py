"""Off-policy estimators against known truth: by hand, by simulation, and the golden values of Open Bandit "men"."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.evaluate import (
    Logs,
    Method,
    Rivals,
    compare,
    doubly_robust,
    effective_size,
    estimate,
    importance,
    ips,
    snips,
    widened,
)

ROOT = Path(__file__).parent.parent.parent
PLACES = (os.environ.get("RAPPORT_EVAL_DATA"), ROOT / "infra/demo/data", ROOT.parent / "shared/data")


def bandit(name: str) -> pd.DataFrame:
    paths = [Path(place) / f"obd_men_{name}.csv.gz" for place in PLACES if place]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        pytest.skip("no Open Bandit data; point RAPPORT_EVAL_DATA at it")
    return pd.read_csv(found, usecols=["item_id", "position", "click", "propensity_score"])


def test_open_bandit_golden_values() -> None:
    logged, other = bandit("random"), bandit("bts")
    assert round(logged["click"].mean(), 5) == 0.00460
    assert round(other["click"].mean(), 5) == 0.00690
    counts = other.groupby(["position", "item_id"]).size()
    frequency = counts / counts.groupby("position").transform("sum")
    keys = pd.MultiIndex.from_frame(logged[["position", "item_id"]])
    target = frequency.reindex(keys, fill_value=0.0).to_numpy()
    gain = logged["click"].to_numpy(dtype=np.float64)
    people = [str(n) for n in range(len(logged))]
    found = estimate(Logs(gain, logged["propensity_score"].to_numpy(), people), target, Method(resamples=200))
    assert round(found.ips, 5) == 0.00566
    assert round(found.snips, 5) == 0.00574
    assert round(found.ess) == 2869
    assert found.interval.low < found.snips < found.interval.high


def test_by_hand() -> None:
    gain, propensity, target = np.array([1.0, 0.0, 1.0, 0.0]), np.full(4, 0.5), np.array([1.0, 1.0, 0.5, 0.0])
    weights = importance(target, propensity)
    assert weights.tolist() == [2.0, 2.0, 1.0, 0.0]
    assert ips(gain, weights) == 0.75
    assert snips(gain, weights) == 0.6
    assert effective_size(weights) == pytest.approx(25.0 / 9.0)
    assert importance(target, propensity, clip=1.5).tolist() == [1.5, 1.5, 1.0, 0.0]
    assert doubly_robust(gain, weights, gain, np.full(4, 0.3)) == pytest.approx(0.3)


def test_without_support_nothing_is_claimed() -> None:
    none = np.zeros(3)
    assert snips(np.ones(3), none) == 0.0
    assert effective_size(none) == 0.0
    with pytest.raises(ValueError, match="propensity 0"):
        importance(np.ones(1), np.zeros(1))


def test_no_logs_are_an_empty_estimate() -> None:
    found = estimate(Logs(np.zeros(0), np.zeros(0), []), np.zeros(0))
    assert (found.snips, found.ess, found.decisions) == (0.0, 0.0, 0)


def logs(count: int, seed: int, share: float = 0.3) -> tuple[Logs, np.ndarray, np.ndarray]:
    """Two contexts, four actions; action = context + 1 is right. Logged: epsilon-greedy around action 0."""
    draw = np.random.default_rng(seed)
    context = draw.integers(0, 2, count)
    explored = draw.random(count) < share
    action = np.where(explored, draw.integers(0, 4, count), 0)
    propensity = np.where(action == 0, 1.0 - share + share / 4, share / 4)
    gain = (draw.random(count) < np.where(action == context + 1, 0.6, 0.2)).astype(float)
    people = [str(n // 2) for n in range(count)]
    return Logs(gain, propensity, people), context, action


def rivals(context: np.ndarray, action: np.ndarray) -> Rivals:
    """The challenger is always right; the champion is right in context 0 only and shows action 0 otherwise."""
    new = (action == context + 1).astype(float)
    old = np.where(context == 0, action == 1, action == 0).astype(float)
    shared = np.minimum(new, old)
    return Rivals(new, old, new - shared, old - shared, (context == 1).astype(float))


def test_values_and_difference_come_out_near_the_truth() -> None:
    logged, context, action = logs(40_000, 1)
    found = compare(logged, rivals(context, action), Method(seed=3, resamples=300))
    assert found.challenger.snips == pytest.approx(0.6, abs=0.03)
    assert found.champion.snips == pytest.approx(0.4, abs=0.03)
    assert found.difference.value == pytest.approx(0.2, abs=0.02)
    assert found.apart == pytest.approx(0.5, abs=0.01)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(60):
        logged, context, action = logs(1500, seed)
        gap = compare(logged, rivals(context, action), Method(seed=seed, resamples=200, level=0.9)).difference
        hits += gap.low <= 0.2 <= gap.high
    assert 45 <= hits <= 60


def test_intervals_widen_with_few_clusters_and_with_few_that_matter() -> None:
    draw = np.random.default_rng(6)
    many, few = draw.normal(size=100_000), draw.normal(size=12)
    assert widened(0.95, many) == pytest.approx(0.95, abs=1e-4)
    # twelve clusters: Student's t with at most 11 degrees of freedom, 2.201, times the root of 12 / 11
    assert 0.978 < widened(0.95, few) < 0.99
    heavy = np.zeros(1000)
    heavy[:5] = 1.0
    assert widened(0.95, heavy) > 0.96 > widened(0.95, draw.normal(size=1000))
    assert widened(0.9, np.zeros(5)) == 0.9
    assert widened(0.9, np.zeros(0)) == 0.9
    assert widened(0.95, np.ones(1)) == 0.95


def test_leaving_out_what_both_do_alike_narrows_the_interval() -> None:
    logged, context, action = logs(4000, 5)
    both = rivals(context, action)
    whole = Rivals(both.challenger, both.champion, both.challenger, both.champion, np.ones(len(logged)))
    narrow, wide = compare(logged, both).difference, compare(logged, whole).difference
    assert narrow.high - narrow.low < wide.high - wide.low


def test_the_same_seed_draws_the_same_interval() -> None:
    logged, context, action = logs(500, 2)
    both = rivals(context, action)
    assert compare(logged, both, Method(seed=4)) == compare(logged, both, Method(seed=4))
    assert compare(logged, both, Method(seed=4)) != compare(logged, both, Method(seed=5))


def test_clusters_widen_the_interval_where_people_repeat_themselves() -> None:
    logged, _, _ = logs(2000, 9)
    target = logged.propensity
    copies = Logs(np.repeat(logged.gain, 5), np.repeat(target, 5), list(np.repeat(logged.cluster, 5)))
    apart = Logs(copies.gain, copies.propensity, [str(n) for n in range(len(copies.gain))])
    together, alone = (estimate(one, one.propensity).interval for one in (copies, apart))
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
