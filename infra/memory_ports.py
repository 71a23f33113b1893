"""The ports over a `MemoryState`, each in a few lines. Knows what each port promises; the state knows how."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from engine.consent import Held
from engine.events import Event
from engine.identity import Conflict, Edge, Pair
from engine.ledger import proof_of
from engine.ports import PLAIN, ApiKey, Circumstances, ConsentChange, Entry, PersonView, Proof, Refused, Unavailable
from engine.records import DecisionRecord
from infra.memory import MemoryState


class MemoryPeople:
    """`engine.ports.People`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def person(self, identity: str) -> PersonView:
        return self._state.view(identity)

    async def people(self, identities: Sequence[str]) -> list[PersonView]:
        return [self._state.view(identity) for identity in identities]

    async def said(self, identities: Sequence[str]) -> dict[str, dict[str, Held]]:
        views = {identity: self._state.view(identity) for identity in identities}
        return {i: {m: view.held.get(m, Held()) for m in view.members} for i, view in views.items()}


class MemoryIdentities:
    """`engine.ports.Identities`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def edges(self, identities: Sequence[str]) -> dict[Pair, Edge]:
        return dict(self._state.edges_around(identities))

    async def conflicts(self) -> list[Conflict]:
        return sorted(self._state.conflicts(), key=lambda c: (-c.at, c.left, c.right))


class MemoryHistory:
    """`engine.ports.History`: the past is another world, but for consent."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def person_at(self, identity: str, at: int) -> PersonView:
        then = self._state.as_of(at).view(identity)
        views = [self._state.view(one) for one in (identity, *then.members)]
        held = {member: said for view in views for member, said in view.held.items()}
        return msgspec.structs.replace(then, held=held)


class MemoryNotices:
    """`engine.ports.Notices`: every reader sees what changes from its first wait on."""

    def __init__(self) -> None:
        self._readers: set[asyncio.Queue[str]] = set()

    def announce(self, profile_ids: Sequence[str]) -> None:
        for reader in self._readers:
            for profile_id in profile_ids:
                reader.put_nowait(profile_id)

    async def changes(self) -> AsyncIterator[str]:
        reader: asyncio.Queue[str] = asyncio.Queue()
        self._readers.add(reader)
        try:
            while True:
                yield await reader.get()
        finally:
            self._readers.discard(reader)


class MemoryRejects:
    """`engine.ports.Rejects`."""

    def __init__(self) -> None:
        self.kept: list[Refused] = []

    async def keep(self, refused: Sequence[Refused]) -> None:
        self.kept += refused


class MemoryLog:
    """`engine.ports.Log` whose events are folded when `append` returns. While `problem` is set it takes nothing, and
    the next `refusals` appends are refused once each."""

    def __init__(self, state: MemoryState, notices: MemoryNotices) -> None:
        self._state = state
        self._notices = notices
        self.problem = ""
        self.refusals = 0

    @property
    def partitions(self) -> int:
        return self._state.partitions

    async def append(self, events: Sequence[Event]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("the log did not take the events; send them again")
        if self.problem:
            raise Unavailable(self.problem)
        self._notices.announce(self._state.apply(events))

    async def append_now(self, *events: Event) -> None:
        await self.append(events)


class MemoryConsents:
    """`engine.ports.Consents`."""

    def __init__(self, state: MemoryState, notices: MemoryNotices) -> None:
        self._state = state
        self._notices = notices

    async def held(self, identities: Sequence[str]) -> dict[str, Held]:
        return {identity: self._state.held[identity] for identity in identities if identity in self._state.held}

    async def history(self, identities: Sequence[str]) -> list[Proof]:
        return [proof_of(row) for row in self._state.ledger if row.subject in set(identities)]

    async def write(self, changes: Mapping[str, ConsentChange], told: Circumstances = PLAIN) -> dict[str, Held]:
        self._state.write(changes, told)
        self._notices.announce(sorted({self._state.person_of(identity).profile_id for identity in changes}))
        return await self.held(list(changes))


class MemoryDecisions:
    """`engine.ports.Decisions`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def decision(self, decision_id: str) -> DecisionRecord | None:
        return self._state.decisions.get(decision_id)


class MemoryCross:
    """`engine.ports.CrossFeatures`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def cross_counts(self) -> dict[tuple[str, str], tuple[float, float]]:
        return self._state.cross()


class MemoryQueues:
    """`engine.ports.Queues`; `put` is what the publisher does."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Entry]] = {}

    def put(self, entry: Entry) -> None:
        self._entries.setdefault(entry.queue, {})[entry.profile_id] = entry

    def remove(self, queue: str, profile_id: str) -> None:
        self._entries.get(queue, {}).pop(profile_id, None)

    async def entries(self, queue: str, limit: int, offset: int = 0) -> tuple[list[Entry], int]:
        waiting = self._entries.get(queue, {}).values()
        ordered = sorted(waiting, key=lambda e: (e.priority, e.profile_id), reverse=True)
        return ordered[offset : offset + limit], len(ordered)


class MemoryKeys:
    """`engine.ports.Keys` over plain secrets: never more than a process's memory."""

    def __init__(self, keys: Mapping[str, ApiKey]) -> None:
        self._keys = dict(keys)
        self.notes: list[tuple[str, str, str]] = []

    def listed(self) -> Sequence[tuple[ApiKey, int, int | None]]:
        return [(key, 0, None) for key in self._keys.values()]

    def note(self, who: str, what: str, detail: str) -> None:
        self.notes.append((who, what, detail))

    def add(self, key: ApiKey, secret: str) -> None:
        self._keys[secret] = key

    def revoke(self, name: str) -> bool:
        kept = {secret: key for secret, key in self._keys.items() if key.name != name}
        found, self._keys = len(kept) < len(self._keys), kept
        return found

    async def find(self, secret: str) -> ApiKey | None:
        return self._keys.get(secret)

    async def named(self, name: str) -> ApiKey | None:
        return next((key for key in self._keys.values() if key.name == name), None)


class MemoryHealth:
    """`engine.ports.Health`: as well as it was told to be."""

    def __init__(self, problems: Mapping[str, str] | None = None) -> None:
        self.found = dict(problems or {})
        self.warned: dict[str, str] = {}

    async def problems(self) -> dict[str, str]:
        return dict(self.found)

    async def warnings(self) -> dict[str, str]:
        return dict(self.warned)
