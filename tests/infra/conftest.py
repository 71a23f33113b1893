"""A Redis for one test alone, and one that forgets."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.embedded import free_port, start_redis
from infra.redis_store import RedisClient, connect
from tests.infra.forgetful import Forgetful


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisClient]:
    """A server of its own, with its files in `tmp_path`: what it takes is measured, what it leaves is looked for, and
    others would give and take meanwhile."""
    server = await start_redis(free_port(), tmp_path)
    client = connect(server.url)
    yield client
    await client.aclose()
    await server.stop()


@pytest.fixture
async def forgetful(tmp_path: Path) -> AsyncIterator[Forgetful]:
    made = Forgetful(tmp_path)
    yield made
    if made.server is not None:
        await made.server.stop()
