"""Law 6: propensities sum to 1 and are the frequencies really drawn; a model as a policy draws as the engine does."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog import Exploration
from engine.decision import Policy, Scored, decide, propensities, seed_of
from engine.signals import DAY
from models.dataset import Scope, examples_of
from models.policy import distributions, logs_of, rivals_of, target_propensities
from models.scorer import PriorModel
from tests.models.learnt import logged, offers, small_model, small_table, table_of
from tests.models.world import NOW

candidates = st.lists(
    st.builds(
        Scored,
        action_id=st.uuids().map(str),
        probability=st.floats(0.0, 1.0),
        value=st.floats(0.0, 100.0),
        explorable=st.booleans(),
        group=st.sampled_from(["", "a", "b"]),
    ),
    min_size=1,
    max_size=8,
)
shares = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
kinds = st.sampled_from(["none", "epsilon", "uniform"])


@given(candidates, kinds, shares)
def test_propensities_sum_to_one(scored: list[Scored], kind: str, share: float) -> None:
    chances = propensities(scored, range(len(scored)), Exploration(kind, share))
    assert sum(chances) == pytest.approx(1.0)
    assert all(0.0 <= chance <= 1.0 + 1e-12 for chance in chances)


@given(candidates, st.integers(0, 2**64 - 1))
def test_a_share_of_nothing_explores_nobody(scored: list[Scored], seed: int) -> None:
    drawn = decide(scored, Policy(Exploration("epsilon", 0.0), limit=3), seed)
    assert not drawn.explored
    assert drawn.propensity == 1.0


@given(candidates)
def test_a_share_of_everything_is_uniform_over_the_explorable(scored: list[Scored]) -> None:
    chances = propensities(scored, range(len(scored)), Exploration("epsilon", 1.0))
    explorable = [one.explorable for one in scored]
    expected = [1.0 / sum(explorable) if e else 0.0 for e in explorable] if any(explorable) else None
    if expected is not None:
        assert chances == pytest.approx(expected)


@settings(max_examples=15)
@given(candidates, st.floats(0.05, 1.0))
def test_frequencies_are_the_propensities(scored: list[Scored], share: float) -> None:
    policy = Policy(Exploration("epsilon", share))
    drawn = Counter(decide(scored, policy, seed_of(f"p.{n}")).slate[0].candidate for n in range(3000))
    expected = propensities(scored, range(len(scored)), policy.exploration)
    for candidate, chance in enumerate(expected):
        assert abs(drawn[candidate] / 3000 - chance) <= 4.5 * np.sqrt(chance * (1 - chance) / 3000) + 1e-9


@settings(max_examples=15)
@given(candidates, st.floats(0.1, 1.0))
def test_a_slate_is_as_likely_as_it_says(scored: list[Scored], share: float) -> None:
    policy = Policy(Exploration("epsilon", share), limit=2)
    drawn = [decide(scored, policy, seed_of(f"q.{n}")) for n in range(3000)]
    slates = Counter(tuple(r.candidate for r in one.slate) for one in drawn)
    said = {tuple(r.candidate for r in one.slate): one.propensity for one in drawn}
    for slate, chance in said.items():
        assert abs(slates[slate] / 3000 - chance) <= 4.5 * np.sqrt(chance * (1 - chance) / 3000) + 1e-9


def test_the_logging_model_gives_back_the_logged_propensities() -> None:
    made = examples_of(table_of(logged(200, own=offers("epsilon", 0.4))), Scope(NOW, DAY))
    assert target_propensities(made.logged, PriorModel()) == pytest.approx(made.propensities)


def test_where_everything_was_drawn_uniformly_the_greedy_choices_are_compared() -> None:
    made = examples_of(small_table(), Scope(NOW, DAY))
    first = next(distributions(made.logged, small_model()))
    assert sorted(first) == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_what_two_models_share_cancels() -> None:
    made = examples_of(small_table(), Scope(NOW, DAY))
    rivals = rivals_of(made.logged, small_model(), PriorModel())
    new, old = (list(distributions(made.logged, model)) for model in (small_model(), PriorModel()))
    for index, (ours, theirs) in enumerate(zip(new, old, strict=True)):
        assert rivals.apart[index] == pytest.approx(0.5 * sum(abs(a - b) for a, b in zip(ours, theirs, strict=True)))
    assert np.array_equal(rivals.challenger - rivals.challenger_alone, rivals.champion - rivals.champion_alone)


def test_gain_is_what_arbitration_maximises() -> None:
    made = examples_of(small_table(), Scope(NOW, DAY))
    accepted = made.rewards == 1.0
    assert set(logs_of(made.logged).gain[accepted].tolist()) == {10.0}
    assert set(logs_of(made.logged).gain[~accepted].tolist()) == {0.0}
