"""Backends that join the port suites: memory, Redis (embedded and real), SQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine.ports import Consents, Entry, Keys, Queues
from infra.consent_opening import put_together
from infra.ledger_store import SqlKeys, open_database
from infra.ledger_store_consent import MEMORY, ConsentLedger, open_ledger
from infra.memory import MemoryState
from infra.memory_ports import MemoryConsents, MemoryKeys, MemoryNotices, MemoryQueues
from infra.processes import RunningServer
from infra.redis_store import Runs, connect
from infra.redis_store_queues import RedisQueues
from tests.contracts.suites import AGENT, ConsentsSuite, KeysSuite, QueuesSuite
from tests.servers import database


class TestMemoryConsents(ConsentsSuite):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Consents]:
        yield MemoryConsents(MemoryState(lambda: 0), MemoryNotices())


# of its own, so that emptying it is nobody else's loss
DATABASE = 9


class OnRedis:
    """A server and a client that starts from nothing."""

    server: RunningServer

    @pytest.fixture(autouse=True)
    def _started(self, any_redis: RunningServer) -> None:
        self.server = any_redis


class TestRedisConsents(OnRedis, ConsentsSuite):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Consents]:
        redis = connect(database(self.server.url, DATABASE))
        await redis.flushdb()
        ledger = ConsentLedger(open_ledger(MEMORY), lambda: 1000)
        yield put_together(redis, Runs(), ledger, 8, lambda: 1000).consents
        await ledger.close()
        await redis.aclose()


class TestMemoryQueues(QueuesSuite):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Queues]:
        yield MemoryQueues()

    async def put(self, queues: Queues, entries: list[Entry]) -> None:
        assert isinstance(queues, MemoryQueues)
        for entry in entries:
            queues.put(entry)


class TestRedisQueues(OnRedis, QueuesSuite):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Queues]:
        redis = connect(database(self.server.url, DATABASE))
        await redis.flushdb()
        yield RedisQueues(redis)
        await redis.aclose()

    async def put(self, queues: Queues, entries: list[Entry]) -> None:
        assert isinstance(queues, RedisQueues)
        await queues.write("retention", {entry.profile_id: (b"1", entry) for entry in entries})


class TestMemoryKeys(KeysSuite):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Keys]:
        yield MemoryKeys({"agent-secret": AGENT})

    def revoke(self, keys: Keys, name: str) -> bool:
        assert isinstance(keys, MemoryKeys)
        return keys.revoke(name)


class TestSqlKeys(KeysSuite):
    @pytest.fixture(autouse=True)
    def _placed(self, database_url: str) -> None:
        self.url = database_url

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Keys]:
        keys = SqlKeys(open_database(self.url), lambda: 1_790_000_000_000)
        keys.add(AGENT, "agent-secret")
        yield keys

    def revoke(self, keys: Keys, name: str) -> bool:
        assert isinstance(keys, SqlKeys)
        return keys.revoke(name)
