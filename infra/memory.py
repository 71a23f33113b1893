"""The whole world behind the ports inside one process: a log that folds what is appended at once, and everything read
from that fold. For tests, contract suites and trying things out; keeps nothing when the process ends."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from engine.consent import Held, Statement
from engine.decision_id import profile_of
from engine.erasure import Forgotten, Links, erase, is_taken, learn
from engine.events import Event
from engine.identity import Claim, Conflict, Edge, Edges, Person, components, pair
from engine.ledger import Head, Row, admitted, appended, drafts_of, row_of_event
from engine.ports import PLAIN, Circumstances, ConsentChange, PersonView, Stored
from engine.profile import Fragment
from engine.records import DecisionRecord, Position, decode_decision, partition_of
from engine.statement import BROWSER, carried_by, placed, spread, taken
from engine.step import Rules, advance
from features.cross import summed

INCARNATION = 1
STORES = ("fragments", "consent keys", "identity index", "archive events", "recent decisions")
DEFAULT_RULES = Rules()


class Applied(msgspec.Struct, frozen=True):
    """One event as it was applied: what the archive would keep of it."""

    position: Position
    index: int
    applied: int
    event: Event


class MemoryState:
    """Everything an installation stores, as plain values. One writer: `apply`."""

    def __init__(self, clock: Callable[[], int], rules: Rules = DEFAULT_RULES, partitions: int = 8) -> None:
        self.clock = clock
        self.rules = rules
        self.partitions = partitions
        self.stored: dict[str, Stored] = {}
        self.held: dict[str, Held] = {}
        self.ledger: list[Row] = []
        self._row_ids: set[str] = set()
        self.persons: dict[str, tuple[int, Person]] = {}
        self.decisions: dict[str, DecisionRecord] = {}
        self.counts: dict[str, int] = {}
        self.history: list[Applied] = []
        self.claims: list[Claim] = []
        self.forgotten: Mapping[str, Forgotten] = {}
        self.removed: dict[str, dict[str, int]] = {}
        self._edges: dict[tuple[str, str], Edge] = {}
        self._near: dict[str, set[str]] = {}
        self._said: dict[tuple[str, str], bool] = {}
        self._offsets: dict[int, int] = {}
        self._links = 0

    def apply(self, events: Sequence[Event]) -> list[str]:
        """Fold events as one record per partition; returns the profile ids that changed."""
        batches: dict[int, list[Event]] = {}
        for event in events:
            batches.setdefault(partition_of(event.home, self.partitions), []).append(event)
        changed: dict[str, None] = {}
        for partition, batch in batches.items():
            offset = self._offsets[partition] = self._offsets.get(partition, -1) + 1
            for index, event in enumerate(batch):
                self._step(event, Position(INCARNATION, partition, offset), index)
                changed.update(dict.fromkeys(self._touched(event)))
        return list(changed)

    def _touched(self, event: Event) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.person_of(i).profile_id for i in event.ids))

    def _step(self, event: Event, position: Position, index: int) -> None:
        now = self.clock()
        self.history.append(Applied(position, index, now, event))
        before = self.stored.get(event.home)
        step = advance(before.fragment if before is not None else Fragment(event.home), event, self.rules)
        if not step.changed:
            for claim in step.claims:
                self._link(claim)
            return
        self.stored[event.home] = Stored(position, now, step.fragment)
        for name, count in step.counts:
            self.counts[name] = self.counts.get(name, 0) + count
        for claim in step.claims:
            self._link(claim)
        self._hear(event)
        record = event.properties.get("record") if event.kind == "decision" else None
        if isinstance(record, bytes):
            self.decisions[event.message_id] = decode_decision(record)

    def _link(self, claim: Claim) -> None:
        self.claims.append(claim)
        links = learn(Links(self._edges, self.forgotten), claim, self.rules.identity)
        reached = [one for job, one in links.forgotten.items() if self.forgotten.get(job) != one]
        self._edges, self.forgotten = dict(links.edges), links.forgotten
        for one in reached:
            self._wipe(one)
        if pair(claim) in self._edges:
            self._derive(claim)

    def _wipe(self, one: Forgotten) -> None:
        """Take everybody an erasure reached out, and count what went."""
        self._links += 1
        self._near = {}
        for left, right in self._edges:
            self._near.setdefault(left, set()).add(right)
            self._near.setdefault(right, set()).add(left)
        gone = self.removed.setdefault(one.job, dict.fromkeys(STORES, 0))
        for member in one.members:
            stored = self.stored.get(member, Stored(Position(INCARNATION, 0, -1), 0, Fragment(member)))
            emptied = erase(stored.fragment, one.at)
            gone["fragments"] += bool(stored.fragment.state.count) and not emptied.state.count
            self.stored[member] = Stored(stored.position, self.clock(), emptied)
            gone["consent keys"] += self.held.pop(member, None) is not None
            gone["identity index"] += member in self.persons
            self.persons[member] = (self._links, Person((member,)))
        decisions = {name: d for name, d in self.decisions.items() if profile_of(name) not in one.members}
        gone["recent decisions"] += len(self.decisions) - len(decisions)
        kept = [a for a in self.history if not is_taken(a.event, one)]
        gone["archive events"] += len(self.history) - len(kept)
        self.decisions, self.history = decisions, kept
        self.claims = [c for c in self.claims if c.at >= one.at or not {c.left, c.right} & one.members.keys()]

    def _derive(self, claim: Claim) -> None:
        self._near.setdefault(claim.left, set()).add(claim.right)
        self._near.setdefault(claim.right, set()).add(claim.left)
        group = self._group(claim.left)
        inside = {key: edge for key, edge in self._edges.items() if key[0] in group}
        self._links += 1
        for person in components(inside, self.rules.identity)[0]:
            self.persons.update(dict.fromkeys(person.members, (self._links, person)))
            mine = {m: self.held[m] for m in person.members if m in self.held}
            self.write(spread(person.members, mine), Circumstances("identity", "link"))

    def _group(self, start: str) -> set[str]:
        found, waiting = {start}, [start]
        while waiting:
            fresh = self._near.get(waiting.pop(), set()) - found
            found |= fresh
            waiting += fresh
        return found

    def _hear(self, event: Event) -> None:
        """What the event said about consent: explicit as it is, otherwise only a no that was not said before."""
        members = self.person_of(event.home).members
        written: dict[str, dict[str, Statement]] = {}
        for one in carried_by(event):
            repeated = self._said.get((event.home, one.memory)) is False
            self._said[event.home, one.memory] = one.yes
            if not one.statement.explicit and (one.yes or repeated):
                continue
            covers = tuple(dict.fromkeys((*one.statement.covers, *members))) if one.statement.covers else ()
            for covered in covers:
                self._said.pop((covered, f"{BROWSER}{one.purpose}"), None)
            said = msgspec.structs.replace(one.statement, covers=covers)
            for identity, statement in placed(said, event.home, (*members, *event.ids)):
                written.setdefault(identity, {})[one.purpose] = statement
        told = Circumstances(event.source, "event", event=(event.source, event.message_id))
        self.write({identity: ConsentChange(statements) for identity, statements in written.items()}, told)

    def edges_around(self, identities: Sequence[str]) -> Edges:
        """Every edge of the groups these ids are in."""
        around = {near for identity in identities for near in self._group(identity)}
        return {key: edge for key, edge in self._edges.items() if key[0] in around}

    def conflicts(self) -> tuple[Conflict, ...]:
        """The links that gave way."""
        return components(self._edges, self.rules.identity)[1]

    def as_of(self, at: int) -> "MemoryState":
        """Another world in which only what was applied by `at` (ms) happened."""
        past = MemoryState(lambda: at, self.rules, self.partitions)
        for one in self.history:
            if one.applied <= at:
                past.clock = partial(int, one.applied)
                past._step(one.event, one.position, one.index)
        return past

    def person_of(self, identity: str) -> Person:
        return self.persons[identity][1] if identity in self.persons else Person((identity,))

    def view(self, identity: str) -> PersonView:
        version, person = self.persons.get(identity, (0, Person((identity,))))
        stored = tuple(self.stored[m] for m in person.members if m in self.stored)
        held = {m: self.held[m] for m in person.members if m in self.held}
        return PersonView(person.profile_id, person.members, version, stored, held)

    def write(self, changes: Mapping[str, ConsentChange], told: Circumstances = PLAIN) -> None:
        """Into the ledger and to where it counts, at once. Raises `Stale`."""
        at = told.at or self.clock()
        rows = {i: row_of_event(*told.event, i) if told.event else f"r{len(self.ledger)}.{i}" for i in changes}
        drafts = drafts_of(changes, msgspec.structs.replace(told, at=at), rows)
        # only whom it is about: the whole ledger would be looked through at every statement
        held = {i: self.held[i] for i in {*changes, *(told.expected or {})} if i in self.held}
        for draft in admitted(held, drafts, told.expected, frozenset(self._row_ids.intersection(rows.values()))):
            row = appended(self.head, draft, secrets.token_bytes(16))
            self.ledger.append(row)
            self._row_ids.add(row.row_id)
            after = taken(self.held.get(draft.subject, Held()), draft.saying.change)
            self.held[draft.subject] = msgspec.structs.replace(after, version=row.seq)

    @property
    def head(self) -> Head:
        return Head(self.ledger[-1].seq, self.ledger[-1].chain) if self.ledger else Head()

    def cross(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Impressions and acceptances by (action id, segment)."""
        return {key: (counts.impressions, counts.accepted) for key, counts in summed([self.counts]).items()}
