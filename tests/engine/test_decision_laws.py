"""Law 6: same inputs, same decision; propensities sum to 1 and are the frequencies really drawn; shares of 0 % and
100 % mean what they say."""

import math
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog import Exploration
from engine.decision import Policy, Scored, _pick, decide, propensities, seed_of, uniform_draw

scored = st.lists(
    st.builds(
        Scored,
        st.uuids().map(str),
        st.floats(0, 1),
        st.floats(0, 100),
        st.sampled_from([1.0, 0.5]),
        st.sampled_from([1.0, 2.0]),
        st.booleans(),
        st.sampled_from(["", "", "offers", "care"]),
    ),
    min_size=1,
    max_size=8,
)
explorations = st.builds(Exploration, st.sampled_from(["none", "epsilon", "uniform"]), st.floats(0, 1))
policies = st.builds(Policy, explorations, st.integers(1, 5), st.booleans())
seeds = st.one_of(st.integers(0, 2**64 - 1), st.text(max_size=5).map(seed_of))


def greedy(candidates: list[Scored], remaining: list[int]) -> int:
    return max(remaining, key=lambda i: (candidates[i].score, -i))


@given(scored, policies, seeds)
def test_same_inputs_same_decision_byte_for_byte(candidates: list[Scored], policy: Policy, seed: int) -> None:
    travelled = msgspec.msgpack.decode(msgspec.msgpack.encode(candidates), type=list[Scored])
    assert msgspec.msgpack.encode(decide(travelled, policy, seed)) == msgspec.msgpack.encode(
        decide(candidates, policy, seed)
    )


@given(scored, explorations, st.data())
def test_propensities_sum_to_one(candidates: list[Scored], exploration: Exploration, data: st.DataObject) -> None:
    indices = st.sampled_from(range(len(candidates)))
    remaining = sorted(data.draw(st.sets(indices, min_size=1)))
    chances = propensities(candidates, remaining, exploration)
    assert all(0.0 <= chance <= 1.0 for chance in chances)
    assert math.isclose(sum(chances), 1.0, abs_tol=1e-12)


@given(scored, policies, seeds)
def test_a_slate_is_drawn_from_what_is_left(candidates: list[Scored], policy: Policy, seed: int) -> None:
    drawn = decide(candidates, policy, seed)
    remaining = list(range(len(candidates)))
    product = 1.0
    for ranked in drawn.slate:
        chances = dict(zip(remaining, propensities(candidates, remaining, policy.exploration), strict=True))
        assert ranked.propensity == chances[ranked.candidate] > 0.0
        assert ranked.explored == (ranked.candidate != greedy(candidates, remaining))
        product *= ranked.propensity
        group = candidates[ranked.candidate].group if policy.unique_groups else ""
        remaining = [i for i in remaining if i != ranked.candidate and not (group and candidates[i].group == group)]
    assert drawn.propensity == product
    assert len(drawn.slate) == policy.limit or not remaining
    assert [ranked.rank for ranked in drawn.slate] == list(range(1, len(drawn.slate) + 1))


@given(scored, seeds, st.integers(1, 5))
def test_a_share_of_nothing_admits_nobody(candidates: list[Scored], seed: int, limit: int) -> None:
    drawn = decide(candidates, Policy(Exploration("epsilon", 0.0), limit), seed)
    assert not drawn.explored
    assert drawn.propensity == 1.0
    assert drawn == decide(candidates, Policy(Exploration("none"), limit), seed)


@given(scored, seeds)
def test_a_full_share_draws_everybody_alike(candidates: list[Scored], seed: int) -> None:
    explorable = [i for i, candidate in enumerate(candidates) if candidate.explorable]
    [first] = decide(candidates, Policy(Exploration("epsilon", 1.0)), seed).slate
    if explorable:
        assert first.candidate in explorable
        assert math.isclose(first.propensity, 1.0 / len(explorable))
    else:
        assert (first.candidate, first.propensity) == (greedy(candidates, list(range(len(candidates)))), 1.0)


@given(scored, seeds, st.floats(0, 1))
def test_what_may_not_be_explored_is_only_ever_the_best(candidates: list[Scored], seed: int, share: float) -> None:
    [first] = decide(candidates, Policy(Exploration("epsilon", share)), seed).slate
    assert not first.explored or candidates[first.candidate].explorable


@pytest.mark.parametrize(
    "exploration",
    [Exploration("none"), Exploration("epsilon", 0.2), Exploration("epsilon", 1.0), Exploration("uniform")],
    ids=lambda e: f"{e.kind} {e.share}",
)
def test_frequencies_are_the_propensities(exploration: Exploration) -> None:
    candidates = [
        Scored("a", 0.5, 2.0),
        Scored("b", 0.4, 2.0),
        Scored("c", 0.9, 1.0, explorable=False),
        Scored("d", 0.1, 1),
    ]
    expected = propensities(candidates, range(4), exploration)
    draws = 20_000
    drawn = Counter(decide(candidates, Policy(exploration), seed_of(f"p.{n}")).slate[0].candidate for n in range(draws))
    for index, chance in enumerate(expected):
        # five standard deviations of a binomial: the seeds are fixed, so this never flickers
        assert drawn[index] == pytest.approx(draws * chance, abs=5 * math.sqrt(draws * chance * (1 - chance)))


def test_slates_are_as_frequent_as_their_propensity() -> None:
    candidates = [
        Scored("a", 0.5, 2.0, group="x"),
        Scored("b", 0.4, 2.0, group="x"),
        Scored("c", 0.3, 1.0),
        Scored("d", 0.1, 1),
    ]
    policy = Policy(Exploration("epsilon", 0.5), 2)
    found: Counter[tuple[int, ...]] = Counter()
    propensity: dict[tuple[int, ...], float] = {}
    draws = 20_000
    for number in range(draws):
        drawn = decide(candidates, policy, seed_of(f"p.{number}"))
        slate = tuple(ranked.candidate for ranked in drawn.slate)
        found[slate] += 1
        propensity[slate] = drawn.propensity
    assert sum(propensity.values()) == pytest.approx(1.0)
    assert not any({0, 1} <= set(slate) for slate in found)
    for slate, chance in propensity.items():
        assert found[slate] == pytest.approx(draws * chance, abs=5 * math.sqrt(draws * chance))


@given(seeds, st.integers(1, 100))
def test_a_draw_lies_in_the_unit_interval(seed: int, position: int) -> None:
    assert 0.0 <= uniform_draw(seed, position) < 1.0
    assert uniform_draw(seed, position) == uniform_draw(seed, position)


def test_what_has_no_chance_is_never_picked() -> None:
    lowest, highest = 0.0, math.nextafter(1.0, 0.0)
    for draw in (lowest, highest):
        assert _pick([0.0, 0.3, 0.0, 0.3, 0.3, 0.1 - 1e-12, 0.0], draw) in (1, 5)


def test_a_tie_goes_to_the_earlier_candidate() -> None:
    tied = [Scored("a", 0.5, 1.0), Scored("b", 0.5, 1.0)]
    assert [r.candidate for r in decide(tied, Policy(limit=2), 1).slate] == [0, 1]


def test_nobody_to_choose_from_is_an_empty_slate() -> None:
    drawn = decide([], Policy(limit=3), 1)
    assert (drawn.slate, drawn.propensity, drawn.explored) == ((), 1.0, False)
