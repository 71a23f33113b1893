"""Everything kept of a person's past, streamed from archive and tails: each event once, however much is archived while
it is read. Knows where rows are; nothing of who may see them."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from engine.erasure import ERASED, KEPT_KINDS
from engine.events import Event
from engine.export import claim_line, event_line
from engine.ports import PersonView, Unavailable
from engine.records import Position, Unreadable, decode_record, partition_of
from infra.archive import ARCHIVE_FAILURES
from infra.archive_erasure import claims_about, events_of
from infra.redis_store import FAILURES
from infra.redis_store_stream import PartitionStore

T = TypeVar("T")
PAGE = 200
TOGETHER = 500


class StoredExports:
    """`engine.erasure_job.Exports`."""

    def __init__(self, archive: str, store: PartitionStore, partitions: int) -> None:
        self._archive = archive
        self._store = store
        self._partitions = partitions

    async def everything(self, view: PersonView) -> AsyncIterator[tuple[str, Any]]:
        """Tails first: what is archived while they are read stands in both, and is taken from the archive."""
        erased = {stored.fragment.id: stored.fragment.erased for stored in view.stored}
        try:
            waiting = await self._waiting(view.members)
            async for position, event in _aside(events_of(self._archive, view.members)):
                waiting.pop(position, None)
                if _is_kept(event, erased):
                    yield event_line(event)
            for events in waiting.values():
                for event in events:
                    if _is_kept(event, erased):
                        yield event_line(event)
            async for claim in _aside(claims_about(self._archive, view.members)):
                if claim.verdict != ERASED and claim.at >= max(erased.get(i, 0) for i in (claim.left, claim.right)):
                    yield claim_line(claim)
        except (*FAILURES, *ARCHIVE_FAILURES) as error:
            raise Unavailable("the archive or the profile store does not answer; try again in a moment") from error

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
