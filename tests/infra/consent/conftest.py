"""A ledger in a file and a Redis database of its own for each test of consent."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.ledger_store_consent import ConsentLedger, open_ledger
from infra.processes import RunningServer
from infra.redis_store import connect
from tests.infra.consent.place import Place
from tests.servers import database

DATABASE = 7


@pytest.fixture
async def place(any_redis: RunningServer, tmp_path: Path) -> AsyncIterator[Place]:
    address = database(any_redis.url, DATABASE)
    redis = connect(address)
    await redis.flushdb()
    made = Place(address, f"sqlite:///{tmp_path / 'ledger.db'}")
    yield made
    await made.close()
    await redis.aclose()


@pytest.fixture
def ledger(database_url: str) -> ConsentLedger:
    return ConsentLedger(open_ledger(database_url), lambda: 5)
