"""A fragment is the fold of the events of one home; a profile is the merge of a person's fragments. Knows nothing of
who may see it, of storage or of links: which fragments belong together is told to it."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import chain
from typing import Any, TypeVar

import msgspec

from engine.events import Event
from engine.identifiers import RESERVED
from engine.outcome import contact_of
from engine.seen import is_duplicate, remember
from engine.signals import DAY, Signal, categories_of, combine, observe, single
from engine.timeline import LONGEST_NAME, Moment, lengthen, lined_up, moment_of

V = TypeVar("V")
CONTACT_AGE = 30 * DAY
CONTACTS_SIZE = 500
ISSUES_SIZE = 200
IDENTIFIERS_SIZE = 1000
LINK_KINDS = frozenset({"link", "unlink", "unsure"})
NAMED_ONLY = 1 << 53
ISSUE_EVENTS = {"Issue Opened": True, "Ticket Created": True, "Issue Resolved": False, "Ticket Resolved": False}


class Known(msgspec.Struct, frozen=True, array_like=True):
    """An identifier as it was first seen next to this home; `at` is that event's time, or later than any where a link
    named it and no event did."""

    type: str
    value: str
    at: int


class Trait(msgspec.Struct, frozen=True, array_like=True):
    """A last-writer-wins value and the event it came from. A None value hides an earlier one."""

    value: Any
    at: int
    message_id: str
    source: str = ""


class Contact(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One time an action was shown to the person. Only an `approach` counts for contact policies and the person's own
    limit; for an action's own cap every time does."""

    at: int
    message_id: str
    channel: str
    action_id: str
    group: str
    approach: bool = True


class Issue(msgspec.Struct, frozen=True, array_like=True):
    """The latest word on one issue."""

    at: int
    message_id: str
    open: bool
    topic: str


class State(msgspec.Struct, frozen=True, array_like=True):
    """What a fragment and a profile have in common. Everything in it merges (law 4) in any order (law 3).

    `declines` holds, per action id, when the customer last declined it: the timeline is too short to remember that.
    """

    count: int = 0
    first: int = 0
    last: int = 0
    identifiers: dict[str, Known] = {}
    traits: dict[str, Trait] = {}
    accounts: dict[str, dict[str, Trait]] = {}
    signals: dict[str, Signal] = {}
    latest: dict[str, Trait] = {}
    issues: dict[str, Issue] = {}
    contacts: tuple[Contact, ...] = ()
    timeline: tuple[Moment, ...] = ()
    declines: dict[str, int] = {}


class Fragment(msgspec.Struct, frozen=True, array_like=True):
    """The fold of one home's events. `seen` holds the newest event keys: 4 bytes receipt (s) + 8 bytes hash each.
    `erased` (ms): what is dated before it was erased, and is not folded again."""

    id: str
    state: State = State()
    seen: bytes = b""
    erased: int = 0


class Profile(msgspec.Struct, frozen=True):
    """A person as of now. `members` are the ids that belong to it, `profile_id` the id of the strongest."""

    profile_id: str
    members: tuple[str, ...]
    link_version: int
    state: State

    @property
    def version(self) -> str:
        return f"{self.link_version}.{self.state.count}"


def _wins(one: Trait, held: Trait) -> bool:
    if (one.at, one.message_id) != (held.at, held.message_id):
        return (one.at, one.message_id) > (held.at, held.message_id)
    return _told(one) > _told(held)


def _told(trait: Trait) -> tuple[bytes, str]:
    return msgspec.msgpack.encode(trait.value), trait.source


def newest(into: dict[str, Trait], more: Mapping[str, Trait]) -> dict[str, Trait]:
    """Last writer wins by (event time, message id); equal pairs of other sources fall back to the encoded value."""
    won = {name: trait for name, trait in more.items() if name not in into or _wins(trait, into[name])}
    return {**into, **won} if won else into


def _known_order(known: Known) -> tuple[bool, int, str, str]:
    # a link may name an id without its value; whoever knows the value tells more
    return known.type == RESERVED, known.at, known.type, known.value


def _sooner(one: Known, held: Known) -> bool:
    return one.at < held.at if one.type == held.type else _known_order(one) < _known_order(held)


def _earliest(into: dict[str, Known], more: Mapping[str, Known]) -> dict[str, Known]:
    """The earliest sighting of each identifier, of the 1,000 seen first."""
    won = {i: known for i, known in more.items() if i not in into or _sooner(known, into[i])}
    result = {**into, **won} if won else into
    if len(result) <= IDENTIFIERS_SIZE:
        return result
    return dict(sorted(result.items(), key=lambda item: (*_known_order(item[1]), item[0]))[:IDENTIFIERS_SIZE])


def _accounts(into: dict[str, dict[str, Trait]], more: Mapping[str, dict[str, Trait]]) -> dict[str, dict[str, Trait]]:
    return {**into, **{name: newest(into.get(name, {}), traits) for name, traits in more.items()}}


def _issue_order(issue: Issue) -> tuple[int, str, bool, str]:
    return issue.at, issue.message_id, issue.open, issue.topic


def _issues(into: dict[str, Issue], more: Mapping[str, Issue]) -> dict[str, Issue]:
    won = {n: issue for n, issue in more.items() if n not in into or _issue_order(into[n]) < _issue_order(issue)}
    result = {**into, **won}
    if len(result) <= ISSUES_SIZE:
        return result
    return dict(sorted(result.items(), key=lambda item: (_issue_order(item[1]), item[0]))[-ISSUES_SIZE:])


def _contacts(into: tuple[Contact, ...], more: tuple[Contact, ...]) -> tuple[Contact, ...]:
    everything = sorted({*into, *more})
    oldest = everything[-1].at - CONTACT_AGE if everything else 0
    if len(everything) > CONTACTS_SIZE:
        # what is shown on every page must not push an approach out
        newest_of = ([c for c in everything if c.approach is way][-CONTACTS_SIZE:] for way in (True, False))
        everything = sorted(chain.from_iterable(newest_of))
    return tuple(c for c in everything if c.at >= oldest)


def _last_times(into: dict[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {**into, **{name: max(at, into.get(name, at)) for name, at in more.items()}}


def join(left: State, right: State) -> State:
    """The one operation everything rests on: commutative, associative, with the empty `State` as its zero."""
    if not left.count:
        return _named(right, left)
    if not right.count:
        return _named(left, right)
    return State(
        count=left.count + right.count,
        first=min(left.first, right.first),
        last=max(left.last, right.last),
        identifiers=_joined(left.identifiers, right.identifiers, _earliest),
        traits=_joined(left.traits, right.traits, newest),
        accounts=_joined(left.accounts, right.accounts, _accounts),
        signals=_joined(left.signals, right.signals, combine),
        latest=_joined(left.latest, right.latest, newest),
        issues=_joined(left.issues, right.issues, _issues),
        contacts=_contacts(left.contacts, right.contacts),
        timeline=lengthen(left.timeline, right.timeline),
        declines=_joined(left.declines, right.declines, _last_times),
    )


def _named(state: State, bare: State) -> State:
    """The state with the identifiers of one that counts nothing: a link names them and is no part of a life."""
    if not bare.identifiers:
        return state
    return msgspec.structs.replace(state, identifiers=_joined(state.identifiers, bare.identifiers, _earliest))


def _joined(
    left: dict[str, V], right: dict[str, V], how: Callable[[dict[str, V], dict[str, V]], dict[str, V]]
) -> dict[str, V]:
    return left if not right else right if not left else how(left, right)


def _traits(values: Mapping[str, Any], event: Event) -> dict[str, Trait]:
    return {name: Trait(value, event.at, event.message_id, event.source) for name, value in values.items()}


def _group(event: Event) -> dict[str, dict[str, Trait]]:
    if event.kind == "group" and event.name:
        return {event.name: _traits(event.traits, event)}
    named = event.context.get("groupId")
    return {named: {}} if isinstance(named, str) and named else {}


def _issue(event: Event) -> dict[str, Issue]:
    if event.kind != "track" or event.name not in ISSUE_EVENTS:
        return {}
    named, topic = event.properties.get("issueId"), event.properties.get("topic")
    if isinstance(named, bool) or not isinstance(named, str | int) or named == "":
        return {}
    about = topic[:LONGEST_NAME] if isinstance(topic, str) else ""
    return {str(named)[:LONGEST_NAME]: Issue(event.at, event.message_id, ISSUE_EVENTS[event.name], about)}


def _latest(event: Event) -> dict[str, Trait]:
    marks: dict[str, Any] = {}
    if event.kind == "outcome" and event.name == "accepted":
        marks = {"action": event.properties.get("action_id"), "category": event.properties.get("category")}
    elif event.name == "Order Completed" and event.kind == "track":
        categories = categories_of(event.properties)
        marks = {"category": categories[-1] if categories else None, "purchase": event.at}
    told = event.at, event.message_id, event.source
    return {name: Trait(value, *told) for name, value in marks.items() if value is not None}


def _declined(event: Event) -> dict[str, int]:
    action = event.properties.get("action_id")
    if event.kind != "outcome" or event.name != "declined" or not isinstance(action, str):
        return {}
    return {action: event.at}


def unit(event: Event) -> State:
    """The state of one event alone; folding is joining with it.

    What is said about who belongs together leaves nothing but the names of its identifiers: a profile after link and
    unlink is the one before (law 4). The verdicts themselves are kept with the links.
    """
    if event.kind in LINK_KINDS:
        return State(
            identifiers={i.id: Known(i.type, i.value, NAMED_ONLY) for i in event.identifiers if i.value != i.id}
        )
    contact = contact_of(event)
    return State(
        count=1,
        first=event.at,
        last=event.at,
        identifiers={i.id: Known(i.type, i.value, event.at) for i in event.identifiers},
        traits=_traits(event.traits, event) if event.kind == "identify" else {},
        accounts=_group(event),
        signals={name: single(amount, event.at) for name, amount in observe(event)},
        latest=_latest(event),
        issues=_issue(event),
        contacts=() if contact is None else (Contact(event.at, event.message_id, *contact),),
        timeline=(moment_of(event),),
        declines=_declined(event),
    )


def fold(fragment: Fragment, event: Event) -> Fragment:
    """The fragment with one more event. A key already seen leaves it as it is (law 1)."""
    key = event.key
    if is_duplicate(fragment.seen, key):
        return fragment
    seen = remember(fragment.seen, key, event.received)
    return Fragment(fragment.id, join(fragment.state, unit(event)), seen, fragment.erased)


def merge(fragments: Sequence[Fragment], members: Sequence[str] = (), link_version: int = 0) -> Profile:
    """One person out of its fragments. `members` lists the person's ids, strongest first (default: the fragments' own).

    Identifiers that were only seen next to a member, but do not belong to the person, are left out.
    """
    ids = tuple(members) or tuple(fragment.id for fragment in fragments)
    own = frozenset(ids)
    states = [_of_own(fragment.state, own) for fragment in sorted(fragments, key=lambda f: f.id)]
    return Profile(ids[0], ids, link_version, gathered(states))


def _of_own(state: State, own: frozenset[str]) -> State:
    seen = {identity: known for identity, known in state.identifiers.items() if identity in own}
    return state if len(seen) == len(state.identifiers) else msgspec.structs.replace(state, identifiers=seen)


def gathered(states: Sequence[State]) -> State:
    """All of them joined. The timeline, which costs most to keep in order, is put in order once."""
    if len(states) == 1:
        return states[0]
    bare = [msgspec.structs.replace(state, timeline=(), contacts=()) for state in states]
    joined = reduce(join, bare, State())
    if not joined.count:
        return joined
    contacts = _contacts((), tuple(c for state in states for c in state.contacts))
    timeline = lined_up([moment for state in states for moment in state.timeline])
    return msgspec.structs.replace(joined, timeline=timeline, contacts=contacts)
