"""Backends that join the suite of people: memory, and Redis behind the stations of the stream."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from engine.events import Event
from infra.memory import MemoryState
from infra.memory_ports import MemoryConsents, MemoryDecisions, MemoryLog, MemoryNotices, MemoryPeople
from infra.redis_store import RedisDecisions, connect
from tests.contracts.people import PeopleSuite, World
from tests.contracts.test_ports import DATABASE, OnRedis
from tests.infra.stream.bed import START, Bed, record
from tests.servers import database


class TestMemory(PeopleSuite):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[World]:
        state, notices = MemoryState(lambda: START), MemoryNotices()
        consents, decisions = MemoryConsents(state, notices), MemoryDecisions(state)
        yield World(MemoryLog(state, notices), MemoryPeople(state), consents, decisions)


class Streamed:
    """A log whose records have passed both stations when `append` returns."""

    partitions = 1

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._partition, self._relation = bed.partition(), bed.relation()
        self._events = self._links = 0

    async def append(self, events: Sequence[Event]) -> None:
        await self._partition.take(self._events, record(*events))
        self._events += 1
        if await self._bed.store.outbox(0):
            await self._relation.take(self._links, await self._bed.link_record())
            self._links += 1

    async def append_now(self, *events: Event) -> None:
        await self.append(events)


class TestRedisBehindTheStream(OnRedis, PeopleSuite):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[World]:
        redis = connect(database(self.server.url, DATABASE))
        await redis.flushdb()
        bed = Bed(redis)
        yield World(Streamed(bed), bed.people, bed.consents, RedisDecisions(redis, 1, patience_s=0.05))
        await redis.aclose()
