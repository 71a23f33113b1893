"""A Redis of its own for each test of the stream's stations."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.processes import RunningServer
from infra.redis_store import connect
from tests.infra.stream.bed import DATABASE, Bed
from tests.infra.stream.rebuilding import House
from tests.servers import database


@pytest.fixture
async def bed(any_redis: RunningServer) -> AsyncIterator[Bed]:
    redis = connect(database(any_redis.url, DATABASE))
    await redis.flushdb()
    yield Bed(redis)
    await redis.aclose()


@pytest.fixture
async def house(any_redis: RunningServer, tmp_path: Path) -> AsyncIterator[House]:
    redis = connect(database(any_redis.url, DATABASE))
    await redis.flushdb()
    await redis.aclose()
    made = House(any_redis, tmp_path)
    yield made
    await made.close()
