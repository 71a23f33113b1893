"""Sees to it that no record is passed over. Knows offsets and how to read some records again; nothing of what they
hold."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from infra.kafka_log import read_between
from infra.stream.shell import persist

Records = list[tuple[int, bytes]]
Read = Callable[[int, int, int], Awaitable[Records]]
log = logging.getLogger("rapport.stream")


class Unbroken:
    """How far each partition was taken without a gap. What a rebalance makes Faust throw away it takes for offsets that
    hold nothing, and commits past them; so whoever finds a gap reads what it holds: `read` gives the records of a
    partition from one offset to before another. Compacted, expired and control records leave gaps that hold none."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._next: dict[int, int] = {}

    def begin(self, committed: Mapping[int, int | None]) -> None:
        """The group goes on from here: what came before was taken, by us or by others."""
        for partition, offset in committed.items():
            self.done(partition, max(offset or 0, 0) - 1)

    def restart(self, positions: Mapping[int, int]) -> None:
        """Everything from here on is to be taken, though it may have been handed over before."""
        self._next.update(positions)

    def done(self, partition: int, offset: int) -> None:
        """This record was taken, and what `before` gave for it."""
        self._next[partition] = max(self._next.get(partition, 0), offset + 1)

    def reached(self, partition: int) -> int:
        """The offset after the last record that was taken."""
        return self._next.get(partition, 0)

    async def between(self, partition: int, first: int, end: int) -> list[bytes]:
        """What the records from `first` to before `end` hold, though they were taken before."""
        return [value for _, value in await self._read(partition, first, end)] if first < end else []

    async def before(self, partition: int, offset: int) -> Records:
        """The records that have to be taken before this one, in order; nearly always none."""
        begin = self._next.get(partition, 0)
        if offset <= begin:
            return []
        missed = await self._read(partition, begin, offset)
        if missed:
            log.warning("partition %d: %d records had been passed over; read again", partition, len(missed))
        return missed


def unbroken_in(url: str, name: str) -> Unbroken:
    """For a topic; a broker that is away is waited for."""

    async def read(partition: int, first: int, end: int) -> Records:
        return await persist(read_between, url, name, partition, first, end)

    return Unbroken(read)
