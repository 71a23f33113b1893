"""Persons follow from the set of verdicts, whatever order it came in (laws 3 and 4 for identity)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import Event
from engine.identifiers import RESERVED, IdentifierType, IdentityRules
from engine.identity import (
    NEGATIVE,
    OBSERVED,
    POSITIVE,
    SAID_SIZE,
    UNSURE,
    Claim,
    Conflict,
    Edge,
    Person,
    components,
    with_claim,
)
from engine.replay import replay
from engine.step import Rules
from tests.strategies import HOMES, events

TYPES = {"u1": "user_id", "u2": "user_id", "e1": "email", "e2": "email", "a1": "anonymous_id", "a2": "anonymous_id"}
SMALL = IdentityRules(max_component=4)
Edges = dict[tuple[str, str], Edge]


def claim(left: str, right: str, at: int = 1, verdict: str = POSITIVE, reason: str = OBSERVED) -> Claim:
    return Claim(left, TYPES[left], right, TYPES[right], verdict, at, "crm", reason)


@st.composite
def _claims(draw: st.DrawFn, by_profile_id: bool = True) -> list[Claim]:
    found = []
    for _ in range(draw(st.integers(0, 14))):
        left, right = draw(st.permutations(sorted(TYPES)))[:2]
        verdict, reason = draw(
            st.sampled_from(
                [(POSITIVE, OBSERVED)] * 3
                + [(POSITIVE, "said"), (NEGATIVE, "said"), (NEGATIVE, OBSERVED), (UNSURE, "x")]
            )
        )
        left_type = draw(st.sampled_from([TYPES[left], TYPES[left], RESERVED if by_profile_id else TYPES[left]]))
        found.append(Claim(left, left_type, right, TYPES[right], verdict, draw(st.integers(0, 3)), "crm", reason))
    return found


def edges(claims: list[Claim]) -> Edges:
    grown: Edges = {}
    for one in claims:
        grown = with_claim(grown, one)
    return grown


@given(st.data())
def test_components_do_not_depend_on_the_order_of_claims(data: st.DataObject) -> None:
    claims = data.draw(_claims())
    repeated = [*claims, *data.draw(st.lists(st.sampled_from(claims), max_size=4) if claims else st.just([]))]
    shuffled = data.draw(st.permutations(repeated))
    for rules in (IdentityRules(), SMALL):
        assert components(edges(shuffled), rules) == components(edges(claims), rules)


@given(_claims(by_profile_id=False))
def test_components_keep_every_rule(claims: list[Claim]) -> None:
    grown = edges(claims)
    persons, _ = components(grown, SMALL)
    members = [member for person in persons for member in person.members]
    assert sorted(members) == sorted({m for pair in grown for m in pair})
    for person in persons:
        assert len(person.members) <= SMALL.max_component
        assert sum(TYPES[m] == "user_id" for m in person.members) <= 1
        apart = [k for k, e in grown.items() if e.verdict == NEGATIVE and set(k) <= set(person.members)]
        assert apart == []


@given(_claims(by_profile_id=False), st.sampled_from(["e1", "e2", "a1"]))
def test_link_and_unlink_of_strangers_leaves_the_persons_before(claims: list[Claim], other: str) -> None:
    before = edges([c for c in claims if "u1" not in (c.left, c.right) or other not in (c.left, c.right)])
    persons, _ = components(before, IdentityRules())
    of = {member: person for person in persons for member in person.members}
    if of.get("u1") is not None and of.get("u1") is of.get(other):
        return
    linked = with_claim(before, claim("u1", other, 10, POSITIVE, "agent"))
    after, _ = components(with_claim(linked, claim("u1", other, 11, NEGATIVE, "agent")), IdentityRules())
    now = {member: person for person in after for member in person.members}
    assert {member: now[member] for member in of} == of


@given(st.data())
def test_what_events_claim_gives_the_same_persons_in_every_order(data: st.DataObject) -> None:
    happened = data.draw(events(HOMES, max_size=16))
    assert persons_of(data.draw(st.permutations(happened))) == persons_of(happened)


def persons_of(happened: list[Event]) -> tuple[tuple[Person, ...], tuple[Conflict, ...]]:
    claims: list[Claim] = []
    replay(happened, Rules(), lambda _event, step: claims.extend(step.claims))
    return components(edges(claims), IdentityRules())


def test_the_strongest_identifier_names_the_person() -> None:
    persons, conflicts = components(edges([claim("e1", "a1"), claim("e1", "u1", 5)]), IdentityRules())
    assert [person.members for person in persons] == [("u1", "e1", "a1")]
    assert persons[0].profile_id == "u1"
    assert conflicts == ()


def test_two_accounts_stay_two_and_the_later_link_gives_way() -> None:
    persons, conflicts = components(edges([claim("u1", "a1", 5), claim("u2", "a1", 9)]), IdentityRules())
    assert [person.members for person in persons] == [("u1", "a1"), ("u2",)]
    assert conflicts == (Conflict("a1", "anonymous_id", "u2", "user_id", "more_than_1_user_id", 9, "crm"),)


def test_an_unlink_cuts_the_weaker_of_two_ways() -> None:
    said = [claim("u1", "e1", 1), claim("e1", "a1", 2), claim("a1", "u1", 3), claim("u1", "a1", 9, NEGATIVE, "agent")]
    persons, conflicts = components(edges(said), IdentityRules())
    assert [person.members for person in persons] == [("a1",), ("u1", "e1")]
    assert [conflict.rule for conflict in conflicts] == ["negative"]


def test_a_component_ends_at_its_limit() -> None:
    chain = [claim("u1", "e1", 1), claim("e1", "a1", 2), claim("a1", "a2", 3), claim("a2", "e2", 4)]
    persons, conflicts = components(edges(chain), SMALL)
    assert [len(person.members) for person in persons] == [1, 4]
    assert [conflict.rule for conflict in conflicts] == ["too_large"]


@pytest.mark.parametrize("first", [POSITIVE, NEGATIVE])
def test_at_the_same_moment_the_verdict_that_keeps_apart_holds(first: str) -> None:
    other = NEGATIVE if first == POSITIVE else POSITIVE
    said = [claim("u1", "e1", 5, first, "agent"), claim("u1", "e1", 5, other, "agent")]
    assert next(iter(edges(said).values())).verdict == NEGATIVE


def test_an_observation_never_overrides_an_unlink() -> None:
    said = [claim("u1", "e1", 5, NEGATIVE, "agent"), claim("u1", "e1", 99)]
    persons, _ = components(edges(said), IdentityRules())
    assert [person.members for person in persons] == [("e1",), ("u1",)]


def test_an_unlink_whose_reason_reads_observed_still_keeps_apart() -> None:
    assert next(iter(edges([claim("u1", "e1", 5, NEGATIVE, OBSERVED)]).values())).verdict == NEGATIVE


def test_a_reference_by_profile_id_does_not_hide_the_type() -> None:
    by_id = Claim("u1", RESERVED, "e1", "email", POSITIVE, 1, "desk", "agent")
    persons, _ = components(edges([by_id, claim("u1", "a1")]), IdentityRules())
    assert persons[0].members == ("u1", "e1", "a1")


def test_a_shared_type_is_the_weakest() -> None:
    rules = IdentityRules(types={"household": IdentifierType(1, shared=True), "user_id": IdentifierType(10)})
    assert rules.rank("household") > rules.rank("user_id")


def test_an_unknown_type_links_nobody_until_somebody_knows_it() -> None:
    """Otherwise two accounts could become one, named as profile ids only."""
    said = [Claim("u1", RESERVED, "u2", "user_id", POSITIVE, 1, "desk", "agent")]
    persons, conflicts = components(edges(said), IdentityRules())
    assert [person.members for person in persons] == [("u1",), ("u2",)]
    assert [conflict.rule for conflict in conflicts] == ["unknown_type"]
    _, known = components(edges([*said, claim("u1", "a1")]), IdentityRules())
    assert [conflict.rule for conflict in known] == ["more_than_1_user_id"]


def test_a_shared_identifier_joins_nobody_even_when_said() -> None:
    rules = IdentityRules(types={"email": IdentifierType(1), "user_id": IdentifierType(2, shared=True)})
    persons, conflicts = components(edges([claim("e1", "u1", 1, POSITIVE, "agent")]), rules)
    assert len(persons) == 2
    assert [conflict.rule for conflict in conflicts] == ["shared_user_id"]


def test_what_is_unsure_neither_links_nor_keeps_apart() -> None:
    said = [claim("u1", "e1", 1), claim("u1", "e1", 5, UNSURE, "agent")]
    assert [p.members for p in components(edges(said), IdentityRules())[0]] == [("e1",), ("u1",)]
    around = [*said, claim("u1", "a1", 2), claim("a1", "e1", 3)]
    assert [p.members for p in components(edges(around), IdentityRules())[0]] == [("u1", "e1", "a1")]


def test_a_pair_keeps_the_newest_of_what_was_said() -> None:
    said = [claim("u1", "e1", at, NEGATIVE if at % 2 else POSITIVE, "agent") for at in range(120)]
    edge = edges(said)["e1", "u1"]
    assert (len(edge.said), edge.said[-1].at, edge.verdict) == (SAID_SIZE, 119, NEGATIVE)
    assert edges(said[::-1]) == edges(said)
