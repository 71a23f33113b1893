"""Law 6 for every way to explore: propensities sum to 1 and are the frequencies really drawn, slates included; nothing
has probability zero by accident."""

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from engine.catalog import Exploration, parse_catalogue
from engine.decision import Policy, Scored, decide, propensities, seed_of
from engine.errors import InvalidCatalogue
from tests.models.world import ACTIONS

KINDS = ("none", "epsilon", "uniform", "softmax", "thompson")
SURE = 1e-4
CANDIDATES = (
    Scored("a", 0.50, 2.0, group="x", draws=(0.6, 0.3, 0.5, 0.2)),
    Scored("b", 0.48, 2.0, group="x", draws=(0.3, 0.6, 0.5, 0.1)),
    Scored("c", 0.90, 1.0, explorable=False, draws=(0.9, 0.9, 0.9, 0.9)),
    Scored("d", 0.30, 3.0, draws=(0.2, 0.3, 0.1, 0.5)),
    Scored("e", 0.01, 1.0, draws=(0.0, 0.0, 0.0, 0.0)),
)

members = st.integers(0, 4)


@st.composite
def candidates(draw: st.DrawFn) -> list[Scored]:
    count = draw(members)
    chance = st.floats(0.0, 1.0)
    one = st.builds(
        Scored,
        action_id=st.uuids().map(str),
        probability=chance,
        value=st.floats(0.0, 1000.0),
        lever=st.floats(0.0, 3.0),
        explorable=st.booleans(),
        group=st.sampled_from(["", "a", "b"]),
        draws=st.tuples(*[chance] * count),
    )
    return draw(st.lists(one, min_size=1, max_size=7))


@given(candidates(), st.sampled_from(KINDS), st.floats(0.0, 1.0), st.floats(0.001, 10.0))
def test_propensities_sum_to_one(scored: list[Scored], kind: str, share: float, temperature: float) -> None:
    chances = propensities(scored, range(len(scored)), Exploration(kind, share, temperature))
    assert math.isclose(sum(chances), 1.0, abs_tol=1e-9)
    assert all(-1e-12 <= chance <= 1.0 + 1e-12 for chance in chances)


@given(candidates(), st.sampled_from(("epsilon", "softmax", "thompson")), st.floats(0.01, 1.0))
def test_what_may_be_explored_always_has_a_chance(scored: list[Scored], kind: str, share: float) -> None:
    chances = propensities(scored, range(len(scored)), Exploration(kind, share))
    open_to = [i for i, one in enumerate(scored) if one.explorable]
    assert all(chances[i] >= share / len(open_to) * 0.999 for i in open_to)


@given(candidates(), st.sampled_from(("softmax", "thompson")), st.floats(0.0, 1.0))
def test_what_may_not_be_explored_is_only_ever_the_best(scored: list[Scored], kind: str, share: float) -> None:
    chances = propensities(scored, range(len(scored)), Exploration(kind, share))
    best = max(range(len(scored)), key=lambda i: scored[i].score)
    assert all(chance == 0.0 for i, chance in enumerate(chances) if not scored[i].explorable and i != best)


@given(candidates(), st.sampled_from(("softmax", "thompson")), st.integers(0, 2**64 - 1))
def test_the_same_decision_draws_the_same(scored: list[Scored], kind: str, seed: int) -> None:
    policy = Policy(Exploration(kind, 0.05), 3)
    assert decide(scored, policy, seed) == decide(scored, policy, seed)


def test_softmax_by_hand() -> None:
    two = [Scored("a", 1.0, 1.0), Scored("b", 0.9, 1.0)]
    odds = math.exp(-0.1 / 0.1)
    wanted = [0.9 / (1 + odds) + 0.05, 0.9 * odds / (1 + odds) + 0.05]
    assert propensities(two, (0, 1), Exploration("softmax", 0.1, 0.1)) == pytest.approx(wanted)


def test_thompson_by_hand() -> None:
    # worth 2, 2, 1 (not explorable, not the best), 3, 1: the four members choose a, b, a (a tie goes first), d
    chances = propensities(CANDIDATES, range(5), Exploration("thompson", 0.04))
    assert chances == pytest.approx([0.96 * 0.5 + 0.01, 0.96 * 0.25 + 0.01, 0.0, 0.96 * 0.25 + 0.01, 0.01])


def test_without_an_ensemble_the_best_is_sure_but_for_the_share() -> None:
    plain = [Scored("a", 0.5, 1.0), Scored("b", 0.4, 1.0)]
    assert propensities(plain, (0, 1), Exploration("thompson", 0.1)) == pytest.approx([0.95, 0.05])


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("limit", [1, 2])
def test_frequencies_are_the_propensities(kind: str, limit: int) -> None:
    """200,000 decisions over all kinds; a slate is as frequent as the product of its positions says."""
    policy, draws = Policy(Exploration(kind, 0.2, 0.3), limit), 25_000
    found: Counter[tuple[int, ...]] = Counter()
    said: dict[tuple[int, ...], float] = {}
    for number in range(draws):
        drawn = decide(CANDIDATES, policy, seed_of(f"{kind}.{limit}.{number}"))
        slate = tuple(ranked.candidate for ranked in drawn.slate)
        found[slate] += 1
        said[slate] = drawn.propensity
    often = [slate for slate in said if said[slate] * draws >= 10.0]
    seen = [found[slate] for slate in often] + [draws - sum(found[slate] for slate in often)]
    wanted = [said[slate] * draws for slate in often]
    wanted.append(draws - sum(wanted))
    pairs = [(a, b) for a, b in zip(seen, wanted, strict=True) if b > 1e-6]
    assert chisquare(*zip(*pairs, strict=True), sum_check=False).pvalue > SURE


@pytest.mark.parametrize(
    ("exploration", "field"),
    [
        ({"kind": "softmax"}, "share"),
        ({"kind": "thompson", "share": 0.009}, "share"),
        ({"kind": "softmax", "share": 0.05, "temperature": 0}, "temperature"),
        ({"kind": "greedy"}, "kind"),
    ],
)
def test_an_exploration_that_cannot_work_is_refused(exploration: dict[str, Any], field: str) -> None:
    place = {"id": "agent_desktop", "channel": "voice", "exploration": exploration}
    document = {"version": "1", "actions": [{**ACTIONS[0], "placements": ["agent_desktop"]}], "placements": [place]}
    with pytest.raises(InvalidCatalogue) as caught:
        parse_catalogue(document)
    assert caught.value.path == f"placements[0].exploration.{field}"
