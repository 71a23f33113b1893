"""Carries link claims from a partition's outbox to the links topic, in order, again after every restart until they are
recorded there. Knows neither claims nor who records them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from engine.identity import Claim
from engine.records import MAX_BYTES, Position
from infra.link_record import LinkRecord
from infra.redis_store_stream import OutboxEntry, PartitionStore
from infra.stream.shell import give_up, persist

Send = Callable[[bytes], Awaitable[None]]


class OutboxSender:
    """One partition's sender; a single task, so entries leave in the order they were written."""

    def __init__(self, partition: int, store: PartitionStore, send: Send) -> None:
        self._partition = partition
        self._store = store
        self._send = send
        self._sent: Position | None = None
        self._awake = asyncio.Event()
        self._awake.set()
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        self._awake.set()

    def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await self._awake.wait()
            self._awake.clear()
            try:
                while await self._pass():
                    pass
            # the one broad catch of this loop: a sender that ended unseen would keep every later link back
            except Exception as error:  # noqa: BLE001
                give_up("outbox", error)

    async def _pass(self) -> bool:
        entries = await persist(self._store.outbox, self._partition, self._sent)
        if not entries:
            return False
        for record in records(entries):
            await persist(self._send, msgspec.msgpack.encode(record))
            self._sent = record.entries[-1][0]
        return True


def records(entries: Sequence[OutboxEntry], most: int = MAX_BYTES) -> Iterator[LinkRecord]:
    """Entries in order, in records that a broker takes: `most` bytes each, or one entry that is larger."""
    waiting: list[tuple[Position, tuple[Claim, ...]]] = []
    weight = 0
    for entry in entries:
        size = len(msgspec.msgpack.encode(entry.claims))
        if waiting and weight + size > most:
            yield LinkRecord(tuple(waiting))
            waiting, weight = [], 0
        waiting.append((entry.position, entry.claims))
        weight += size
    if waiting:
        yield LinkRecord(tuple(waiting))
