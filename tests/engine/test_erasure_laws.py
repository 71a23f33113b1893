"""Erasure as a law: what came before is gone, whatever order it came in; what comes after stands; twice is once."""

import random

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from engine.erasure import ERASED, LINK_DAYS, Forgotten, Links, before_of, erase_event, forget_event, known_until, learn
from engine.events import Event
from engine.identifiers import IdentityRules
from engine.identity import NEGATIVE, OBSERVED, POSITIVE, Claim, components
from engine.profile import Fragment
from engine.records import Record, decode_record, encode
from engine.signals import DAY
from engine.step import Rules, advance
from tests.claims import LEAST
from tests.engine.likeness import assert_like_fragments
from tests.strategies import ANN, EMAIL, START, events, folded

RULES, IDENTITY = Rules(), IdentityRules()
CUTS = st.sampled_from([START, START + 1, START + 60_000, START + DAY, START + 29 * DAY, START + 46 * DAY])


def after(happened: list[Event]) -> Fragment:
    fragment = Fragment(ANN.id)
    for event in happened:
        fragment = advance(fragment, event, RULES).fragment
    return fragment


@given(events(), CUTS, st.integers(0, 30), st.randoms(use_true_random=False))
def test_what_came_before_is_gone_whatever_the_order(
    happened: list[Event], before: int, place: int, chance: random.Random
) -> None:
    """Early events stand anywhere around the record, late ones after it: as a log gives them."""
    gone = [event for event in happened if event.at < before]
    kept = [event for event in happened if event.at >= before]
    later = [*kept, *gone[place:]]
    chance.shuffle(later)
    found = after([*gone[:place], erase_event(ANN.id, "job", before), *later])
    expected = msgspec.structs.replace(folded(kept), erased=before)
    assert_like_fragments(found, expected, kept)
    assert found.erased == before


@given(events(), CUTS)
def test_erasing_twice_changes_nothing(happened: list[Event], before: int) -> None:
    once = after([*happened, erase_event(ANN.id, "job", before)])
    step = advance(once, erase_event(ANN.id, "another", before), RULES)
    assert step.fragment is once
    assert not step.changed


@given(events(), CUTS, CUTS)
def test_of_two_erasures_the_later_holds(happened: list[Event], one: int, other: int) -> None:
    kept = [event for event in happened if event.at >= max(one, other)]
    early = [event for event in happened if event.at < max(one, other)]
    orders = (one, other), (other, one)
    found = [after([*early, *(erase_event(ANN.id, "job", t) for t in order), *kept]) for order in orders]
    assert found[0] == found[1]
    assert_like_fragments(found[0], folded(kept), kept)


@given(events(min_size=1), CUTS)
def test_a_person_who_began_after_it_is_left_alone(happened: list[Event], before: int) -> None:
    kept = [event for event in happened if event.at >= before]
    # of links alone a fragment keeps no time: their names go
    assume(not kept or folded(kept).state.count)
    found = after([*kept, erase_event(ANN.id, "job", before)])
    assert found == msgspec.structs.replace(folded(kept), erased=before)


def test_a_state_from_both_sides_goes_as_a_whole() -> None:
    """Stated in decision 10: only clocks that disagree bring an event before the record that it is dated after."""
    old = Event("m1", "web", "track", "A", START, START, ANN.id, (ANN,))
    new = msgspec.structs.replace(old, message_id="m2", at=START + 10, received=START + 10)
    assert after([old, new, erase_event(ANN.id, "job", START + 5)]) == Fragment(ANN.id, erased=START + 5)


def test_a_suppressed_event_only_says_whom_it_was_seen_with() -> None:
    late = Event(
        "m",
        "web",
        "identify",
        "",
        START,
        START,
        ANN.id,
        (ANN, EMAIL),
        traits={"plan": "x"},
        consent={"marketing": True},
    )
    fragment = Fragment(ANN.id, erased=START + 1)
    step = advance(fragment, late, RULES)
    assert step.fragment is fragment
    assert (step.changed, step.derived, step.counts) == (False, False, ())
    assert step.claims == (Claim(ANN.id, "user_id", EMAIL.id, "email", POSITIVE, START, "web"),)


def test_the_wish_leaves_the_fragment_and_tells_identity() -> None:
    wish = forget_event((ANN.id, "user_id"), "job-1", START, START + 2000)
    fragment = folded([Event("m", "web", "track", "A", START, START, ANN.id, (ANN,))])
    step = advance(fragment, wish, RULES)
    assert step.fragment is fragment
    assert step.claims == (Claim(ANN.id, "user_id", ANN.id, "user_id", ERASED, START + 2000, "rapport", "job-1"),)
    assert decode_record(encode(Record("1", START, (wish,)))).events[0] == wish
    assert before_of(wish) == START + 2000


IDS = {"user_id": ("u1", "u2"), "email": ("e1", "e2"), "anonymous_id": ("a1", "a2", "a3", "a4")}
ENDS = [(kind, name) for kind, names in IDS.items() for name in names]


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    left, right = draw(st.permutations(ENDS))[:2]
    verdict, reason = draw(st.sampled_from([(POSITIVE, OBSERVED)] * 4 + [(POSITIVE, "said"), (NEGATIVE, "said")]))
    return Claim(left[1], left[0], right[1], right[0], verdict, START + draw(st.integers(0, 20)), "web", reason)


WISH = Claim("u1", "user_id", "u1", "user_id", ERASED, START + 10, "rapport", "job")


def learnt(said: list[Claim]) -> Links:
    links = Links()
    for claim in said:
        links = learn(links, claim, IDENTITY)
    return links


@given(st.lists(claims(), max_size=12), st.integers(0, 12))
@example(LEAST[1:], 0)
def test_whom_an_erasure_reaches_is_what_was_known_before_it(said: list[Claim], place: int) -> None:
    """Claims from before it, in the record's order or late, with those from after it behind: the person of then goes
    whole, and no link of then joins anybody it reached."""
    early = [c for c in said if c.at < WISH.at]
    late = [c for c in said if c.at >= WISH.at]
    links = learnt([*early[:place], WISH, *early[place:], *late])
    reached = links.forgotten["job"].members
    assert all(
        edge.observed is None or edge.observed[0] >= WISH.at
        for key, edge in links.edges.items()
        if set(key) & set(reached)
    )
    persons, _ = components(learnt(early).edges, IDENTITY)
    then = next((set(p.members) for p in persons if "u1" in p.members), {"u1"})
    assert then <= set(reached)
    if place >= len(early):
        assert then == set(reached)


@given(st.lists(claims(), max_size=12), st.randoms(use_true_random=False))
def test_links_that_only_add_are_caught_in_any_order(said: list[Claim], chance: random.Random) -> None:
    early = [
        c for c in said if c.at < WISH.at and c.verdict == POSITIVE and "user_id" not in (c.left_type, c.right_type)
    ]
    joined = [*early, Claim("u1", "user_id", "e1", "email", POSITIVE, START, "web")]
    expected = learnt([*joined, WISH])
    shuffled = [*joined, WISH]
    chance.shuffle(shuffled)
    assert learnt(shuffled).forgotten["job"].members.keys() == expected.forgotten["job"].members.keys()


def test_what_was_said_after_it_makes_a_new_person() -> None:
    again = Claim("u1", "user_id", "e1", "email", POSITIVE, WISH.at, "web")
    early = msgspec.structs.replace(again, at=START)
    links = learnt([early, WISH, again])
    persons, _ = components(links.edges, IDENTITY)
    assert [p.members for p in persons] == [("u1", "e1")]
    assert links.edges[("e1", "u1")].observed == (WISH.at, "web")
    assert links.erasure_of("e1") == Forgotten(
        "job", "u1", WISH.at, {"u1": "user_id", "e1": "email"}, links.forgotten["job"].past
    )


@pytest.mark.parametrize("days", [1, 7, 30])
def test_an_erasure_is_known_while_an_event_can_be_late_or_a_link_of_before_lives(days: int) -> None:
    assert known_until(5, days * DAY) == 5 + max(days, LINK_DAYS) * DAY
