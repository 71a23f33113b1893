"""Erasure as a rule: what an erase record leaves of a fragment, and whom an erasure reaches through the links. Knows
nothing of stores, jobs or who may ask; the same set of records gives the same answer in whatever order it comes."""

from collections.abc import Mapping, Sequence

import msgspec

from engine.events import OWN_SOURCE, Event
from engine.identifiers import IdentityRules
from engine.identity import (
    Claim,
    Connected,
    Edge,
    Edges,
    Pair,
    Said,
    components,
    pair,
    types_of,
    with_claim,
    with_claims,
)
from engine.profile import Fragment, State
from engine.signals import DAY

LINK_DAYS = 14
FORGET, ERASE = "forget", "erase"
ERASED = "erased"
KEPT_KINDS = (FORGET, ERASE)


def forget_event(home: tuple[str, str], job: str, at: int, before: int) -> Event:
    """The wish itself, for the partition of one of the person's ids: `home` is (id, type). Carries no value."""
    said = {"job": job, "before": before, "type": home[1]}
    return Event(f"{FORGET}:{job}", OWN_SOURCE, FORGET, "", at, at, home[0], (), properties=said)


def erase_event(home: str, job: str, before: int) -> Event:
    """The record that empties one member's fragment of everything dated before `before` (ms)."""
    said = {"job": job, "before": before}
    return Event(f"{ERASE}:{job}:{home}", OWN_SOURCE, ERASE, "", before, before, home, (), properties=said)


def before_of(event: Event) -> int:
    """The moment (ms) before which everything goes; 0 where the record names none."""
    named = event.properties.get("before")
    return named if isinstance(named, int) and not isinstance(named, bool) else 0


def known_until(before: int, lateness_ms: int) -> int:
    """Until when (ms) it is known that somebody was erased: as long as an event can be late, or a preference link of
    before has not expired, which must not open whoever comes after."""
    return before + max(lateness_ms, LINK_DAYS * DAY)


def is_suppressed(fragment: Fragment, event: Event) -> bool:
    """Whether the event is dated before its home was erased: then it never happened."""
    return event.at < fragment.erased


def erase(fragment: Fragment, before: int) -> Fragment:
    """The fragment without what happened before `before`, and closed to it. Erasing again changes nothing.

    A merged state cannot be taken apart: where it holds events from both sides of `before`, all of it goes.
    """
    if before <= fragment.erased:
        return fragment
    if fragment.state.count and fragment.state.first >= before:
        return msgspec.structs.replace(fragment, erased=before)
    return Fragment(fragment.id, State(), b"", before)


def forget_claim(event: Event) -> Claim:
    """What identity is told: a verdict on one id, in place of one on a pair."""
    kind, job = str(event.properties.get("type", "")), str(event.properties.get("job", ""))
    return Claim(event.home, kind, event.home, kind, ERASED, before_of(event), event.source, job)


class Forgotten(msgspec.Struct, frozen=True, array_like=True):
    """One erasure: everybody who was one person with `seed` before `at` (ms), with their types, and the links that
    said so. Ids only; kept until no event can be late enough any more."""

    job: str
    seed: str
    at: int
    members: dict[str, str] = {}
    past: tuple[Edge, ...] = ()


def named_by(one: Forgotten) -> set[str]:
    """Whom the erasure reached, and whom a link of then named beside them."""
    return one.members.keys() | {end for edge in one.past for end in pair(edge)}


def neighbours(one: Forgotten) -> set[str]:
    """Whom a link of then named beside a member, without making them one person."""
    return named_by(one) - one.members.keys()


def is_taken(event: Event, one: Forgotten) -> bool:
    """Whether an erasure takes this event out of whatever keeps events; its own records stay."""
    return event.home in one.members and event.at < one.at and event.kind not in KEPT_KINDS


class Links(msgspec.Struct, frozen=True):
    """Edges that hold now, and erasures by job: as much of both as a step needs."""

    edges: Edges = {}
    forgotten: Mapping[str, Forgotten] = {}

    def erasure_of(self, identity: str) -> Forgotten | None:
        """The latest erasure that reached this id."""
        reached = [one for one in self.forgotten.values() if identity in one.members]
        return max(reached, key=lambda one: (one.at, one.job), default=None)


def learn(links: Links, claim: Claim, rules: IdentityRules) -> Links:
    """The links with one more claim."""
    return learn_all(links, (claim,), rules)


def learn_all(links: Links, claims: Sequence[Claim], rules: IdentityRules) -> Links:
    """The links with more claims, one after the other. One that is dated before an erasure may say who else it reaches:
    also one between others, when it tells to whom somebody belonged then. Nearly always no erasure is near, and claims
    are simply added."""
    if not links.forgotten and all(claim.verdict != ERASED for claim in claims):
        return msgspec.structs.replace(links, edges=with_claims(links.edges, claims))
    learning = _Learning(links, rules)
    for claim in claims:
        learning.take(claim)
    return Links(learning.edges, learning.forgotten)


def concerned(forgotten: Mapping[str, Forgotten], claims: Sequence[Claim]) -> dict[str, Forgotten]:
    """The erasures whose reach these claims may change: dated after the earliest of them, or stated by one."""
    jobs = {claim.reason for claim in claims if claim.verdict == ERASED}
    first = min((claim.at for claim in claims if claim.verdict != ERASED), default=None)
    return {job: one for job, one in sorted(forgotten.items()) if job in jobs or (first is not None and first < one.at)}


def deciding(forgotten: Mapping[str, Forgotten], claims: Sequence[Claim]) -> set[str]:
    """Everybody whose links decide, beside those of the claims' own ends, whom these erasures reach with the claims."""
    return set().union(*map(named_by, concerned(forgotten, claims).values()))


class _Learning:
    """Links on the way. It knows what is connected, by verdicts of any kind: an erasure is followed only through what
    is connected to whom it reached, and again only for claims that are."""

    def __init__(self, links: Links, rules: IdentityRules) -> None:
        self.edges, self.forgotten = dict(links.edges), dict(links.forgotten)
        self._rules = rules
        self._look()

    def _look(self) -> None:
        self._connected = Connected()
        self._keys: dict[str, list[Pair]] = {}
        self._jobs: dict[str, set[str]] = {}
        for key in self.edges:
            self._connect(key)
        for one in self.forgotten.values():
            self._note(one)

    def take(self, claim: Claim) -> None:
        if claim.verdict == ERASED:
            fresh = Forgotten(claim.reason, claim.left, claim.at, {claim.left: claim.left_type})
            self._reach(self.forgotten.get(claim.reason) or fresh)
            return
        links = Links(self.edges, self.forgotten)
        reached = {one.job: one for end in (claim.left, claim.right) if (one := links.erasure_of(end)) is not None}
        caught = [one for _, one in sorted(reached.items()) if claim.at < one.at]
        for one in caught:
            past = with_claim({pair(edge): edge for edge in one.past}, claim)
            self._reach(msgspec.structs.replace(one, past=_ordered(past)))
        if not caught:
            self._add(claim)

    def _add(self, claim: Claim) -> None:
        key = pair(claim)
        before = {key: self.edges[key]} if key in self.edges else {}
        after = with_claim(before, claim)
        if after == before:
            return
        self.edges.update(after)
        if not before:
            self._connect(key)
        for job in sorted(self._jobs.get(self._connected.name(key[0]), ())):
            if claim.at < self.forgotten[job].at:
                self._reach(self.forgotten[job])

    def _reach(self, one: Forgotten) -> None:
        """Follow an erasure through what was known before it, and take that out of what holds."""
        past = {pair(edge): edge for edge in one.past}
        groups = {self._connected.name(end) for end in {one.seed}.union(*past)}
        near = [key for group in groups for key in self._keys.get(group, ())]
        for key in near:
            earlier = _until(self.edges[key], one.at)
            if earlier is not None:
                past[key] = earlier
        persons, _ = components(past, self._rules)
        person = next((p for p in persons if one.seed in p.members), None)
        types = types_of(past.values())
        members = {**one.members, **{m: types[m] for m in (person.members if person is not None else ())}}
        kept = {key: _beyond(self.edges[key], members, one.at) for key in near}
        self.edges.update({key: edge for key, edge in kept.items() if edge is not None})
        gone = [key for key, edge in kept.items() if edge is None]
        for key in gone:
            del self.edges[key]
        touching = {key: edge for key, edge in past.items() if edge.left in members or edge.right in members}
        self.forgotten[one.job] = msgspec.structs.replace(one, members=members, past=_ordered(touching))
        if gone:
            # what is no more connects nobody: whoever learns the claims one by one must come to the same
            self._look()
        else:
            self._note(self.forgotten[one.job])

    def _connect(self, key: Pair) -> None:
        name, other = self._connected.join(*key)
        if name != other:
            self._keys.setdefault(name, []).extend(self._keys.pop(other, ()))
            self._jobs.setdefault(name, set()).update(self._jobs.pop(other, ()))
        self._keys.setdefault(name, []).append(key)

    def _note(self, one: Forgotten) -> None:
        for end in neighbours(one):
            self._jobs.setdefault(self._connected.name(end), set()).add(one.job)


def _ordered(edges: Edges) -> tuple[Edge, ...]:
    return tuple(edges[key] for key in sorted(edges))


def _until(edge: Edge, at: int) -> Edge | None:
    """The edge as it was known before `at`; None where it was not."""
    seen = edge.observed if edge.observed is not None and edge.observed[0] < at else None
    return _cut(edge, seen, tuple(said for said in edge.said if said.at < at))


def _beyond(edge: Edge, members: Mapping[str, str], at: int) -> Edge | None:
    """What remains of an edge: all of it if it touches nobody erased, else what was said at `at` or later."""
    if edge.left not in members and edge.right not in members:
        return edge
    seen = edge.observed if edge.observed is not None and edge.observed[0] >= at else None
    return _cut(edge, seen, tuple(said for said in edge.said if said.at >= at))


def _cut(edge: Edge, observed: tuple[int, str] | None, said: tuple[Said, ...]) -> Edge | None:
    if observed is None and not said:
        return None
    return msgspec.structs.replace(edge, observed=observed, said=said)
