"""A Redis of its own for each test of the stream's stations."""

from collections.abc import AsyncIterator

import pytest

from infra.processes import RunningServer
from infra.redis_store import connect
from tests.infra.stream.bed import Bed
from tests.servers import database

DATABASE = 11


@pytest.fixture
async def bed(any_redis: RunningServer) -> AsyncIterator[Bed]:
    redis = connect(database(any_redis.url, DATABASE))
    await redis.flushdb()
    yield Bed(redis)
    await redis.aclose()
