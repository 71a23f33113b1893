"""Everything kept of a person, streamed: the past from archive and tails, each event once however much is archived
while it is read, then every other store. Knows where rows are; nothing of who may see them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, TypeVar

import msgspec
import orjson

from engine.erasure import ERASED, KEPT_KINDS
from engine.events import Event
from engine.export import claim_line, event_line, named
from engine.ports import PersonView, Unavailable
from engine.records import Position, Unreadable, decode_record, partition_of
from infra.archive import ARCHIVE_FAILURES
from infra.archive_erasure import claims_about, events_of
from infra.erasure_stores import Store
from infra.ledger_store_erasures import SqlNames
from infra.ledger_store_rejects import SqlRejectBodies
from infra.ledger_store_tokens import SqlOptIns
from infra.redis_store import FAILURES
from infra.redis_store_stream import PartitionStore

T = TypeVar("T")
PAGE = 200
TOGETHER = 500
_EVENT = msgspec.msgpack.Decoder(Event)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


class StoredExports:
    """`engine.erasure_job.Exports`. `stores` are those that an erasure empties beside the archive."""

    def __init__(self, archive: str, store: PartitionStore, partitions: int, stores: Sequence[Store] = ()) -> None:
        self._archive = archive
        self._store = store
        self._partitions = partitions
        self._stores = stores

    async def everything(self, view: PersonView) -> AsyncIterator[tuple[str, Any]]:
        """The person's past, then what every other store holds now."""
        try:
            async for line in self._past(view):
                yield line
            for kept in self._stores:
                async for value in kept.lines(view):
                    yield kept.kind, value
        except (*FAILURES, *ARCHIVE_FAILURES) as error:
            raise Unavailable("the archive or the profile store does not answer; try again in a moment") from error

    async def _past(self, view: PersonView) -> AsyncIterator[tuple[str, Any]]:
        """Tails first: what is archived while they are read stands in both, and is taken from the archive."""
        erased = {stored.fragment.id: stored.fragment.erased for stored in view.stored}
        waiting = await self._waiting(view.members)
        async for position, event in _aside(events_of(self._archive, view.members)):
            waiting.pop(position, None)
            if _is_kept(event, erased):
                yield event_line(event)
        for event in chain.from_iterable(waiting.values()):
            if _is_kept(event, erased):
                yield event_line(event)
        async for claim in _aside(claims_about(self._archive, view.members)):
            if claim.verdict != ERASED and claim.at >= max(erased.get(i, 0) for i in (claim.left, claim.right)):
                yield claim_line(claim)

    async def _waiting(self, members: Sequence[str]) -> dict[Position, list[Event]]:
        """The person's events that are applied and were not archived when this was called."""
        own, found = frozenset(members), dict[Position, list[Event]]()
        for partition in sorted({partition_of(member, self._partitions) for member in members}):
            after: Position | None = None
            while entries := await self._store.tail(partition, PAGE, after):
                after = entries[-1].position
                for entry in entries:
                    mine = [event for event in _events(entry.raw) if event.home in own]
                    if mine:
                        found[entry.position] = mine
        return found


class KeptRejects:
    """What rejected events held, as an export shows it. `whom` gives the ids that a client's raw event names."""

    def __init__(self, names: SqlNames, bodies: SqlRejectBodies, whom: Callable[[Any], frozenset[str]]) -> None:
        self._names = names
        self._bodies = bodies
        self._whom = whom

    async def lines(self, view: PersonView) -> AsyncIterator[dict[str, Any]]:
        """A line per rejected event that names the person; of a batch only those, for the others are somebody else's.
        `event` is null where it was too long to be kept whole and can no longer be told from others'."""
        mine = frozenset(view.members)
        for body, at in await self._names.rejects(view.members):
            data = await self._bodies.find(body)
            if data is None:
                continue
            items = _items(data)
            for item in [None] if items is None else items:
                if item is None or self._named(item) & mine:
                    yield {"kept_at": at, "event": event_line(item)[1] if isinstance(item, Event) else item}

    def _named(self, item: Any) -> frozenset[str]:
        return frozenset(item.ids) if isinstance(item, Event) else self._whom(item)


class KeptOptIns:
    """Double opt-ins as an export shows them: without their token, which would confirm them."""

    def __init__(self, names: SqlNames, opt_ins: SqlOptIns) -> None:
        self._names = names
        self._opt_ins = opt_ins

    async def lines(self, view: PersonView) -> AsyncIterator[dict[str, Any]]:
        for token in await self._names.opt_ins(view.members):
            if (found := await self._opt_ins.find(token)) is not None:
                yield named(found)


def _items(data: bytes) -> Sequence[Any] | None:
    """The events in a body, read as `infra.rejects` wrote them: a client's JSON, alone or in a batch, or one of ours.
    None where it cannot be read."""
    try:
        raw = orjson.loads(data)
    except ValueError:
        try:
            return [_EVENT.decode(data)]
        except _UNREADABLE:
            return None
    batch = raw.get("batch", [raw]) if isinstance(raw, dict) else raw
    return batch if isinstance(batch, list) else [raw]


def _is_kept(event: Event, erased: dict[str, int]) -> bool:
    return event.kind not in KEPT_KINDS and event.at >= erased.get(event.home, 0)


def _events(raw: bytes) -> Sequence[Event]:
    try:
        return decode_record(raw).events
    except Unreadable:
        return ()


async def _aside(rows: Iterator[T]) -> AsyncIterator[T]:
    """A blocking iterator read in a thread, some at a time."""
    while some := await asyncio.to_thread(lambda: list(islice(rows, TOGETHER))):
        for one in some:
            yield one
