"""What a fragment remembers: the seen window, traits and their source, issues, contacts, declines, the timeline."""

from typing import Any

import msgspec
import pytest
from hypothesis import given

from engine.events import Event
from engine.identifiers import RESERVED, Identifier
from engine.ports import PersonView, Stored
from engine.profile import (
    CONTACT_AGE,
    CONTACTS_SIZE,
    Contact,
    Fragment,
    Known,
    State,
    Trait,
    fold,
    gathered,
    join,
    merge,
)
from engine.records import Position
from engine.seen import SEEN_AGE_S, SEEN_SIZE, is_duplicate, remember
from engine.signals import DAY
from tests.strategies import ANN, EMAIL, HOMES, START, events, folded


def event(number: int, kind: str, name: str = "", /, at: int = START, **changes: Any) -> Event:
    return msgspec.structs.replace(Event(f"m{number}", "web", kind, name, at, at, ANN.id, (ANN,)), **changes)


def test_a_trait_says_where_it_comes_from() -> None:
    state = folded([event(1, "identify", traits={"plan": "gold"})]).state
    assert state.traits == {"plan": Trait("gold", START, "m1", "web")}


def test_a_late_trait_does_not_win_and_a_null_hides() -> None:
    late = event(2, "identify", at=START - 1, traits={"plan": "silver", "city": "Ulm"})
    hidden = event(3, "identify", at=START + 1, traits={"city": None})
    traits = folded([event(1, "identify", traits={"plan": "gold"}), late, hidden]).state.traits
    assert traits["plan"].value == "gold"
    assert traits["city"] == Trait(None, START + 1, "m3", "web")


def test_the_traits_of_a_group_are_the_accounts() -> None:
    state = folded(
        [event(1, "group", "acme", traits={"plan": "team"}), event(2, "page", context={"groupId": "x"})]
    ).state
    assert state.accounts == {"acme": {"plan": Trait("team", START, "m1", "web")}, "x": {}}
    assert state.traits == {}


def test_two_sources_may_use_the_same_message_id() -> None:
    other = event(1, "page", source="crm")
    assert folded([event(1, "page"), other, other]).state.count == 2


def test_the_seen_window_keeps_the_newest_of_a_day() -> None:
    seen = b""
    keys = [number.to_bytes(8, "big") for number in range(SEEN_SIZE + 5)]
    for number, key in enumerate(keys):
        seen = remember(seen, key, START + number)
    assert [is_duplicate(seen, key) for key in (keys[0], keys[4], keys[5], keys[-1])] == [False, False, True, True]
    later = remember(seen, b"laterkey", START + (SEEN_AGE_S + 10) * 1000)
    assert len(later) == 12
    assert is_duplicate(later, b"laterkey")


def test_a_key_is_only_found_where_a_key_stands() -> None:
    seen = remember(remember(b"", b"abcdefgh", START), b"ijklmnop", START)
    across = seen[6:14]
    assert across in seen
    assert not is_duplicate(seen, across)


def test_an_issue_takes_the_latest_word() -> None:
    opened = event(1, "track", "Issue Opened", properties={"issueId": "i1", "topic": "billing"})
    solved = event(2, "track", "Issue Resolved", at=START + 5, properties={"issueId": "i1"})
    ticket = event(3, "track", "Ticket Created", properties={"issueId": 77})
    nameless = event(4, "track", "Issue Opened", properties={"issueId": True})
    issues = folded([solved, opened, ticket, nameless]).state.issues
    assert {name: issue.open for name, issue in issues.items()} == {"i1": False, "77": True}


def test_contacts_are_kept_thirty_days() -> None:
    def shown(number: int, at: int) -> Event:
        return event(number, "outcome", "presented", at=at, properties={"channel": "voice", "action_id": "a"})

    contacts = folded(
        [shown(1, START), shown(2, START + CONTACT_AGE), shown(3, START + CONTACT_AGE + 1)]
    ).state.contacts
    assert [contact.message_id for contact in contacts] == ["m2", "m3"]
    assert folded([event(4, "outcome", "accepted")]).state.contacts == ()


def test_what_is_shown_elsewhere_is_no_approach_and_pushes_none_out() -> None:
    def shown(number: int, **more: bool) -> Event:
        return event(number, "outcome", "presented", at=START + number, properties={"action_id": "a", **more})

    state = folded([shown(0), shown(1, contact=True), *(shown(n, contact=False) for n in range(2, 700))]).state
    assert [c.message_id for c in state.contacts if c.approach] == ["m0", "m1"]
    assert len(state.contacts) == CONTACTS_SIZE + 2
    before = msgspec.msgpack.encode((START, "m0", "", "a", ""))
    assert msgspec.msgpack.decode(before, type=Contact) == state.contacts[0]


def test_a_decline_is_remembered_longer_than_the_timeline() -> None:
    declined = event(0, "outcome", "declined", properties={"action_id": "upgrade"})
    state = folded([declined, *(event(n, "page", at=START + n) for n in range(1, 100))]).state
    assert all(moment.kind == "page" for moment in state.timeline)
    assert state.declines == {"upgrade": START}


def test_the_latest_choice_is_remembered() -> None:
    bought = event(1, "track", "Order Completed", properties={"products": [{"category": "hats"}]})
    accepted = event(2, "outcome", "accepted", at=START + 1, properties={"action_id": "upgrade", "category": "plans"})
    latest = folded([bought, accepted]).state.latest
    assert {name: mark.value for name, mark in latest.items()} == {
        "category": "plans",
        "purchase": START,
        "action": "upgrade",
    }


@pytest.mark.parametrize("kind", ["decision", "exposure"])
def test_our_own_decisions_push_nothing_out_of_the_timeline(kind: str) -> None:
    happened = [event(n, "track", "Order Completed", at=START + n) for n in range(60)]
    ours = [event(n, kind, "agent_desktop", at=START + n) for n in range(100, 160)]
    kept = folded([*happened, *ours]).state.timeline
    assert [moment.at - START for moment in kept] == [*range(10, 60), *range(150, 160)]
    assert folded([*ours, *happened]).state.timeline == kept
    assert gathered([folded([one]).state for one in (*happened, *ours)]).timeline == kept


def test_the_timeline_is_short_in_every_direction() -> None:
    wordy = event(1, "track", "x" * 500, properties={"topic": "y" * 500, "secret": "z", "value": 3, "channel": ["no"]})
    [moment] = folded([wordy]).state.timeline
    assert (len(moment.name), len(moment.detail["topic"]), moment.detail["value"]) == (80, 80, 3)
    assert set(moment.detail) == {"topic", "value"}


def test_equal_moments_of_two_sources_are_ordered_by_what_they_say() -> None:
    one = event(1, "track", "Seen", properties={"topic": "a"})
    other = event(1, "track", "Seen", source="crm", properties={"topic": "b"})
    assert folded([one, other]).state.timeline == folded([other, one]).state.timeline


def test_an_identifier_keeps_its_value_when_a_link_names_only_its_id() -> None:
    by_id = Identifier(RESERVED, EMAIL.id, EMAIL.id)
    linked = event(1, "link", at=START - 5, identifiers=(ANN, by_id))
    seen = event(2, "identify", identifiers=(ANN, EMAIL))
    for order in ([linked, seen], [seen, linked]):
        assert folded(order).state.identifiers[EMAIL.id] == Known("email", EMAIL.value, START)


def test_who_was_only_looked_at_was_not_met() -> None:
    looked = [event(n, "decision", "agent_desktop", at=START + n) for n in range(2)]

    def met(*happened: Event, **of_before: Any) -> bool:
        fragment = folded([*looked, *happened])
        state = msgspec.structs.replace(fragment.state, **of_before)
        stored = Stored(Position(1, 0, 0), START, msgspec.structs.replace(fragment, state=state))
        return PersonView(ANN.id, (ANN.id,), 0, (stored,), {}).met

    assert not met()
    assert not met(event(3, "exposure", "dark"))
    assert met(event(3, "outcome", "churned"))
    assert met(event(3, "page"), timeline=folded(looked).state.timeline)


def test_a_profile_is_versioned_by_links_and_events() -> None:
    ann, mail = folded([event(1, "page"), event(2, "page")]), folded([event(3, "page")], EMAIL.id)
    assert merge([ann, mail], [ANN.id, EMAIL.id], link_version=4).version == "4.3"
    assert merge([], ["nobody"]).version == "0.0"


def test_a_fragment_of_before_is_still_read() -> None:
    before = [ANN.id, [1, START, START], b""]
    fragment = msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=Fragment)
    assert fold(fragment, event(1, "page")).state.count == 2


@pytest.mark.parametrize("days", [0, 10])
def test_first_and_last_are_event_times(days: int) -> None:
    state = folded([event(1, "page", at=START + days * DAY), event(2, "page")]).state
    assert (state.first, state.last) == (START, START + days * DAY)


@given(events(HOMES, max_size=30))
def test_gathering_all_at_once_is_joining_one_by_one(happened: list[Event]) -> None:
    states = [folded([event], event.home).state for event in happened]
    one_by_one = State()
    for state in states:
        one_by_one = join(one_by_one, state)
    assert gathered(states) == one_by_one


def test_gathering_keeps_the_newest_moments_of_many() -> None:
    """More than a timeline holds, and most of them at the same moments."""
    pages = [event(number, "page", "Home", at=START + number % 2) for number in range(120)]
    parts = [folded(pages[start : start + 20]).state for start in range(0, 120, 20)]
    one_by_one = State()
    for part in parts:
        one_by_one = join(one_by_one, part)
    assert gathered(parts) == one_by_one
    assert len(one_by_one.timeline) == 50
