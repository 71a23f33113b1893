"""Laws 1 to 4 over what is folded: once is enough, stop and resume, order does not matter, merge is fold."""

import random
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import Event
from engine.profile import CONTACTS_SIZE, Fragment, State, join, merge, unit
from engine.replay import replay
from engine.seen import SEEN_AGE_S
from engine.signals import DAY
from engine.step import Rules, advance
from tests.engine.likeness import assert_like, assert_like_fragments
from tests.strategies import ANN, EMAIL, HOMES, OTHERS, START, events, folded

RULES = Rules()
DECODER = msgspec.msgpack.Decoder(Fragment)
MEMBERS = tuple(home.id for home in HOMES)


def stored_and_loaded(fragment: Fragment) -> Fragment:
    return DECODER.decode(msgspec.msgpack.encode(fragment))


@given(events(), st.integers(0, 3 * DAY))
def test_once_is_enough(happened: list[Event], later: int) -> None:
    fragment = folded(happened)
    newest = max((event.received for event in happened), default=0)
    for event in happened:
        if event.received // 1000 >= newest // 1000 - SEEN_AGE_S:
            retried = msgspec.structs.replace(event, received=newest + later)
            step = advance(fragment, retried, RULES)
            assert step.fragment is fragment
            assert (step.changed, step.claims, step.counts) == (False, (), ())


@given(events(), st.integers(0, 30))
def test_a_retry_between_the_others_changes_nothing(happened: list[Event], place: int) -> None:
    received_at_once = [msgspec.structs.replace(event, received=START + 50 * DAY) for event in happened]
    before, after = received_at_once[:place], received_at_once[place:]
    assert folded([*before, *before, *after, *before]) == folded(received_at_once)


@given(events(), st.integers(0, 30))
def test_stop_and_resume(happened: list[Event], place: int) -> None:
    resumed = stored_and_loaded(folded(happened[:place]))
    for event in happened[place:]:
        resumed = advance(resumed, event, RULES).fragment
    assert msgspec.msgpack.encode(resumed) == msgspec.msgpack.encode(folded(happened))


@given(events(HOMES))
def test_replay_of_the_same_order_is_equal_to_the_last_bit(happened: list[Event]) -> None:
    once, again = replay(happened, RULES), replay(happened, RULES)
    assert msgspec.msgpack.encode(once) == msgspec.msgpack.encode(again)
    assert once == {home: folded([e for e in happened if e.home == home], home) for home in once}


@given(st.data())
def test_order_does_not_matter(data: st.DataObject) -> None:
    happened = data.draw(events(min_size=8))
    other_way = data.draw(st.permutations(happened))
    assert_like_fragments(folded(happened), folded(other_way), happened)


@given(st.data())
def test_order_does_not_matter_where_everything_ties(data: st.DataObject) -> None:
    happened = [
        msgspec.structs.replace(event, at=START, received=START, message_id="m", source=f"source {number}")
        for number, event in enumerate(data.draw(events(max_size=12)))
    ]
    assert_like_fragments(folded(happened), folded(data.draw(st.permutations(happened))), happened)


@given(events(HOMES, min_size=4), st.randoms(use_true_random=False))
def test_merge_is_fold(happened: list[Event], chance: random.Random) -> None:
    part_of = {id(event): chance.random() < 0.5 for event in happened}
    ours = [event for event in happened if part_of[id(event)]]
    theirs = [event for event in happened if not part_of[id(event)]]
    apart = merge([folded(ours), folded(theirs)], MEMBERS)
    together = merge([folded(happened)], MEMBERS)
    assert (apart.profile_id, apart.members, apart.version) == (together.profile_id, together.members, together.version)
    assert_like(apart.state, together.state, happened)


@given(events(HOMES), st.permutations(HOMES))
def test_a_profile_does_not_depend_on_the_order_of_its_fragments(happened: list[Event], order: list[object]) -> None:
    fragments = replay(happened, RULES)
    shuffled = [fragments[home.id] for home in HOMES if home.id in fragments]
    shuffled.sort(key=lambda f: [h.id for h in order].index(f.id))  # type: ignore[attr-defined]
    assert merge(shuffled, MEMBERS) == merge(list(fragments.values()), MEMBERS)


@given(events(max_size=10), events(max_size=10), events(max_size=10))
def test_join_is_associative_and_commutative(one: list[Event], two: list[Event], three: list[Event]) -> None:
    a, b, c = folded(one).state, folded(two).state, folded(three).state
    assert_like(join(a, b), join(b, a), [*one, *two])
    assert_like(join(join(a, b), c), join(a, join(b, c)), [*one, *two, *three])


@given(events())
def test_the_empty_state_is_the_zero(happened: list[Event]) -> None:
    state = folded(happened).state
    assert join(State(), state) == state == join(state, State())


@given(events(HOMES, max_size=16))
def test_a_person_after_link_and_unlink_is_the_one_before(happened: list[Event]) -> None:
    fragments = replay(happened, RULES)
    mine = fragments.get(ANN.id, Fragment(ANN.id))
    before = merge([mine], [ANN.id])
    merge([mine, fragments.get(EMAIL.id, Fragment(EMAIL.id))], [ANN.id, EMAIL.id], link_version=1)
    assert merge([mine], [ANN.id], link_version=0) == before


@given(events(HOMES, max_size=12))
def test_a_profile_names_only_its_own_identifiers(happened: list[Event]) -> None:
    person = merge(list(replay(happened, RULES).values()), [ANN.id, EMAIL.id])
    assert set(person.state.identifiers) <= {ANN.id, EMAIL.id}


def crowd(seed: int) -> list[Event]:
    """More events than the timeline, issues, contacts, identifiers and seen ids that a fragment keeps."""
    chance = random.Random(seed)
    made = []
    for number in range(1300):
        at = START + chance.randrange(34) * DAY + chance.randrange(3)
        kind, name = chance.choice(
            [("track", "Issue Opened"), ("track", "Issue Resolved"), *[("outcome", "presented")] * 4, ("page", "")]
        )
        if kind == "page" and number % 2:
            kind = "decision"
        properties: dict[str, Any] = {"issueId": f"i{chance.randrange(400)}", "action_id": "call_back"}
        properties["contact"] = chance.random() < 0.8
        other = msgspec.structs.replace(OTHERS[-1], value=f"n{number}", id=f"other{number:011d}")
        made.append(
            Event(f"m{number}", "web", kind, name, at, at + chance.randrange(DAY), ANN.id, (ANN, other), {}, properties)
        )
    return made


@pytest.mark.parametrize("seed", range(3))
def test_order_does_not_matter_beyond_every_limit(seed: int) -> None:
    happened = crowd(seed)
    shuffled = random.Random(seed + 1).sample(happened, len(happened))
    assert_like_fragments(folded(happened), folded(shuffled), happened)
    kept = Counter(contact.approach for contact in folded(happened).state.contacts)
    assert kept[True] == CONTACTS_SIZE
    assert kept[False]
    half = len(happened) // 2
    joined = join(folded(happened[:half]).state, folded(happened[half:]).state)
    assert_like(joined, folded(shuffled).state, happened)


@pytest.mark.parametrize("field", ["timeline", "issues", "contacts", "identifiers"])
def test_a_fragment_is_bounded(field: str) -> None:
    limits = {"timeline": 60, "issues": 200, "contacts": 1000, "identifiers": 1000}
    assert len(getattr(folded(crowd(7)).state, field)) <= limits[field]


@given(events())
def test_folding_is_joining_with_the_event_alone(happened: list[Event]) -> None:
    state = State()
    for event in happened:
        state = join(state, unit(event))
    assert state == folded(happened).state
