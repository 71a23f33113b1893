"""What the gate sees, by hand and against known truth: support, two estimators, slices, clipping and tries."""

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.catalog import Exploration
from engine.decision import Scored, propensities
from engine.signals import DAY
from features.spec import COLUMNS, INDEX
from models.dataset import Logged, Scope, examples_of, logged_in, logged_vectors
from models.evaluate import Comparison, Interval, Method, Slice
from models.evidence import Evidence, age_band, compared, gather
from models.policy import logging_distribution
from models.registry import Gate, judge_promotion, level_of
from models.scorer import Floats, PriorModel, Rows
from models.train import Question, evaluate
from tests.models.learnt import logged, offers, small_model, small_table, small_training, table_of
from tests.models.world import NOW

QUESTION = Question(now=NOW, window=DAY)


class Favourite:
    """A model that is sure of one action, whoever it is about."""

    columns: tuple[str, ...] = ()

    def __init__(self, name: str, place: int, of: int) -> None:
        self.version, self._place, self._of = name, place, of

    def probabilities(self, rows: Rows) -> Floats:
        return np.tile(np.eye(self._of)[self._place], len(rows) // self._of) * 0.9


def verdict(found: Comparison, **more: Any) -> str:
    return judge_promotion(msgspec.structs.replace(small_training().card, **more), found).code


def some(count: int = 1, **how: Any) -> list[Logged]:
    return list(logged_in(table_of(logged(count, own=offers(**how))), Scope(NOW, DAY)))


def test_the_log_gives_back_the_propensity_of_what_was_shown() -> None:
    for one in some(60, kind="epsilon", share=0.4):
        assert logging_distribution(one)[one.presented] == pytest.approx(one.propensity)


def test_numbers_by_hand() -> None:
    [one] = some(kind="epsilon", share=0.5)
    found = gather([one], Favourite("new", 1, 5), PriorModel())
    scored = [Scored("a", 0.9 if place == 1 else 0.0, 10.0) for place in range(5)]
    ours = propensities(scored, range(5), Exploration("epsilon", 0.5))
    assert ours == pytest.approx([0.1, 0.6, 0.1, 0.1, 0.1])
    numbers = {name: float(column[0]) for name, column in found.numbers.items()}
    assert numbers["challenger"] == pytest.approx(ours[one.presented])
    assert numbers["expected"] == pytest.approx(9.0 if one.presented == 1 else 0.0)
    assert numbers["expected_challenger"] == pytest.approx(0.6 * 9.0)
    assert numbers["expected_champion"] == pytest.approx(0.1 * 9.0)
    assert numbers["apart"] == pytest.approx(0.5)
    assert (numbers["unsupported"], numbers["certain"]) == (0.0, 0.0)


def test_one_by_one_is_what_all_at_once_would_be() -> None:
    scope = Scope(NOW, DAY)
    at_once = examples_of(small_table(), scope).logged
    one_by_one = list(logged_in(small_table(), scope))
    assert [one.record.decision_id for one in one_by_one] == [one.record.decision_id for one in at_once]
    both = [compared(gather(each, small_model(), PriorModel()), Method(resamples=50)) for each in (one_by_one, at_once)]
    assert both[0] == both[1]


def test_both_estimators_find_the_better_model() -> None:
    found = evaluate(small_table(), QUESTION, small_model(), PriorModel())
    assert found.doubly_robust is not None
    assert found.doubly_robust.low > 0.0
    assert found.doubly_robust.value == pytest.approx(found.difference.value, abs=1.0)
    assert found.unexplored == ()
    assert found.clip_bias == 0.0
    assert (found.first, found.last) != (0, 0)
    assert verdict(found) == "better"


def test_a_policy_of_what_was_never_shown_is_not_judged() -> None:
    table = table_of(logged(400, own=offers("none")))
    found = evaluate(table, QUESTION, Favourite("new", 2, 5), PriorModel())
    assert (found.unsupported, found.unexplored) == (1.0, ("agent_desktop",))
    said = judge_promotion(small_training().card, found)
    assert (said.promote, said.code) == (False, "no_exploration")
    assert "agent_desktop never explored" in said.text


def test_mass_on_actions_nobody_explores_lacks_support() -> None:
    found = msgspec.structs.replace(evaluate(small_table(), QUESTION, small_model(), PriorModel()), unsupported=0.06)
    assert verdict(found) == "too_little_support"
    assert verdict(msgspec.structs.replace(found, unsupported=0.05)) == "better"


def test_a_log_of_two_effective_decisions_concludes_nothing() -> None:
    found = msgspec.structs.replace(evaluate(small_table(), QUESTION, small_model(), PriorModel()), ess=2.0)
    said = judge_promotion(small_training().card, found)
    assert (said.promote, said.code) == (False, "too_little_evidence")
    assert "Only 2 effective decisions" in said.text


def test_clipping_says_what_it_takes_away() -> None:
    numbers = {name: np.zeros(2) for name in ("shared", "apart", "expected", "unsupported", "certain")}
    numbers |= {"expected_challenger": np.zeros(2), "expected_champion": np.zeros(2), "at": np.arange(2.0)}
    numbers |= {"gain": np.array([1.0, 1.0]), "propensity": np.array([0.01, 0.5])}
    numbers |= {"challenger": np.array([1.0, 1.0]), "champion": np.zeros(2)}
    found = compared(Evidence(numbers, ["a", "b"], ["p", "p"], {}), Method(clip=50.0, resamples=10))
    # weights 100 and 2, the first cut to 50: half of (100 - 50) x 1 is gone
    assert found.clip_bias == pytest.approx(25.0)
    assert found.challenger.ips == pytest.approx((50.0 + 2.0) / 2)


def test_doubly_robust_by_hand() -> None:
    numbers = {name: np.zeros(2) for name in ("shared", "unsupported", "certain")}
    numbers |= {"gain": np.array([1.0, 0.0]), "propensity": np.array([0.5, 0.25]), "at": np.arange(2.0)}
    numbers |= {"challenger": np.array([1.0, 0.0]), "champion": np.array([0.0, 0.5]), "apart": np.ones(2)}
    numbers |= {"expected": np.array([0.4, 0.2])}
    numbers |= {"expected_challenger": np.array([0.4, 0.3]), "expected_champion": np.array([0.1, 0.2])}
    found = compared(Evidence(numbers, ["a", "b"], ["p", "p"], {}), Method(resamples=10))
    # 0.3 + (2 - 0) x (1.0 - 0.4) = 1.5 and 0.1 + (0 - 2) x (0.0 - 0.2) = 0.5
    assert found.doubly_robust is not None
    assert found.doubly_robust.value == pytest.approx(1.0)
    assert found.challenger.ips == pytest.approx(1.0)
    assert found.champion.ips == 0.0


def test_a_slice_that_surely_loses_refuses() -> None:
    worse = Slice("language", "de", 900, 300.0, Interval(-2.0, -3.0, -0.5, 0.95))
    found = msgspec.structs.replace(evaluate(small_table(), QUESTION, small_model(), PriorModel()), slices=(worse,))
    said = judge_promotion(small_training().card, found)
    assert (said.promote, said.code) == (False, "worse_for_some")
    assert "language de" in said.text
    assert judge_promotion(small_training().card, found, Gate(margin=0.6)).code == "better"


def test_slices_are_cut_by_segment_language_and_age() -> None:
    found = gather(logged_in(small_table(), Scope(NOW, DAY)), small_model(), PriorModel())
    assert set(found.labels) == {"segment", "language", "age band"}
    assert set(found.labels["segment"]) == {"basic", "gold"}
    cut = compared(found, Method(resamples=50)).slices
    assert {one.by for one in cut} <= set(found.labels)
    assert all(one.ess >= 200.0 for one in cut)
    assert sum(one.decisions for one in cut if one.by == "segment") <= len(found)


@pytest.mark.parametrize(
    ("age", "band"), [(np.nan, "unknown"), (-1, "unknown"), (24, "under 25"), (25, "25 to 39"), (77, "60 and over")]
)
def test_age_bands(age: float, band: str) -> None:
    [one] = some()
    rows = np.array(logged_vectors(one.record))
    rows[:, INDEX["trait_age"]] = age
    assert rows.shape[1] == len(COLUMNS)
    assert age_band(msgspec.structs.replace(one, rows=rows)) == band


def test_every_try_on_one_log_spends_of_one_budget() -> None:
    spent = [(1.0 - level_of(tries)) / 2 for tries in range(1, 200)]
    assert spent[0] == pytest.approx(0.025)
    assert all(a > b for a, b in pairwise(spent))
    assert sum(spent) < Gate().error


def test_a_miscalibrated_model_does_not_serve() -> None:
    found = evaluate(small_table(), QUESTION, small_model(), PriorModel())
    assert verdict(found, metrics={"ece": 0.3}) == "miscalibrated"


def test_estimators_that_contradict_each_other_refuse() -> None:
    found = evaluate(small_table(), QUESTION, small_model(), PriorModel())
    other = msgspec.structs.replace(found, doubly_robust=Interval(-1.0, -2.0, -0.5, 0.95))
    assert verdict(other) == "estimators_disagree"


def test_of_equal_challengers_hardly_one_is_promoted_and_better_ones_are() -> None:
    card = small_training().card
    equal = better = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        equal += judge_promotion(card, compared(_simulated(draw, 0.0), Method(level=0.95, resamples=200))).promote
        better += judge_promotion(card, compared(_simulated(draw, 0.2), Method(level=0.95, resamples=200))).promote
    assert equal <= 4
    assert better >= 36


def _simulated(draw: np.random.Generator, lift: float, count: int = 2000) -> Evidence:
    """Three actions drawn uniformly; the rivals are sure of two of them, and the challenger's is taken more often."""
    shown = draw.integers(0, 3, count)
    gain = (draw.random(count) < np.where(shown == 1, 0.2 + lift, 0.2)).astype(float)
    new, old = (shown == 1).astype(float), (shown == 0).astype(float)
    numbers = {
        "gain": gain,
        "propensity": np.full(count, 1 / 3),
        "challenger": new,
        "champion": old,
        **{name: np.zeros(count) for name in ("shared", "expected", "unsupported", "certain")},
        **{name: np.full(count, 0.2) for name in ("expected_challenger", "expected_champion")},
        "apart": np.ones(count),
        "at": np.arange(count, dtype=np.float64),
    }
    return Evidence(numbers, [str(n // 3) for n in range(count)], ["p"] * count, {})
