"""The whole world behind the ports inside one process: a log that folds what is appended at once, and everything read
from that fold. For tests, contract suites and trying things out; keeps nothing when the process ends."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from engine.consent import DENIED, GRANTED, Held, Statement
from engine.events import Event
from engine.identity import Claim, Edge, Person, components, with_claim
from engine.ports import ConsentChange, PersonView, Stored
from engine.profile import Fragment
from engine.records import DecisionRecord, Position, decode_decision, partition_of
from engine.statement import applied
from engine.step import Rules, advance
from features.cross import summed

INCARNATION = 1
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
        self.persons: dict[str, tuple[int, Person]] = {}
        self.decisions: dict[str, DecisionRecord] = {}
        self.counts: dict[str, int] = {}
        self.history: list[Applied] = []
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
        return tuple(
            dict.fromkeys(self.person_of(i).profile_id for i in (event.home, *(k.id for k in event.identifiers)))
        )

    def _step(self, event: Event, position: Position, index: int) -> None:
        now = self.clock()
        self.history.append(Applied(position, index, now, event))
        before = self.stored.get(event.home)
        step = advance(before.fragment if before is not None else Fragment(event.home), event, self.rules)
        if not step.changed:
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
        self._edges = with_claim(self._edges, claim)
        self._near.setdefault(claim.left, set()).add(claim.right)
        self._near.setdefault(claim.right, set()).add(claim.left)
        group = self._group(claim.left)
        inside = {key: edge for key, edge in self._edges.items() if key[0] in group}
        self._links += 1
        for person in components(inside, self.rules.identity)[0]:
            self.persons.update(dict.fromkeys(person.members, (self._links, person)))

    def _group(self, start: str) -> set[str]:
        found, waiting = {start}, [start]
        while waiting:
            fresh = self._near.get(waiting.pop(), set()) - found
            found |= fresh
            waiting += fresh
        return found

    def _hear(self, event: Event) -> None:
        """What the event said about consent: explicit as it is, otherwise only a no that was not said before."""
        for purpose, yes in (event.consent or {}).items():
            named = (event.home, *(i.id for i in event.identifiers), *self.person_of(event.home).members)
            covers = tuple(dict.fromkeys(named)) if yes and event.explicit else ()
            said = Statement(GRANTED if yes else DENIED, event.at, event.source, event.explicit, covers)
            repeated = self._said.get((event.home, purpose)) is False
            self._said[event.home, purpose] = yes
            if event.explicit or (not yes and not repeated):
                self.write({event.home: ConsentChange({purpose: said})})
                others = [m for m in self.person_of(event.home).members if m != event.home and not yes]
                narrow = ConsentChange({purpose: msgspec.structs.replace(said, explicit=True)})
                self.write(dict.fromkeys(others, narrow))

    def person_of(self, identity: str) -> Person:
        return self.persons[identity][1] if identity in self.persons else Person((identity,))

    def view(self, identity: str) -> PersonView:
        version, person = self.persons.get(identity, (0, Person((identity,))))
        stored = tuple(self.stored[m] for m in person.members if m in self.stored)
        held = {m: self.held[m] for m in person.members if m in self.held}
        return PersonView(person.profile_id, person.members, version, stored, held)

    def write(self, changes: Mapping[str, ConsentChange]) -> None:
        for identity, change in changes.items():
            before = self.held.get(identity, Held())
            current = {p: s for p, s in change.statements.items() if not _stands(before, p, s)}
            if current or change.preferences or change.settings:
                self.held[identity] = applied(before, msgspec.structs.replace(change, statements=current))

    def cross(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Impressions and acceptances by (action id, segment)."""
        return {key: (counts.impressions, counts.accepted) for key, counts in summed([self.counts]).items()}


def _stands(held: Held, purpose: str, new: Statement) -> bool:
    """Whether what is held outweighs the new statement: it is later, or as late and no new refusal is to replace it."""
    rivals = [s for s in held.statements.get(purpose, ()) if s.explicit == new.explicit]
    return any(s.at > new.at or (s.at == new.at and (new.status == GRANTED or s == new)) for s in rivals)
