"""What is deleted leaves the servers' files too: an append-only file of the embedded Redis, and a SQLite database."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.consent import GRANTED, Statement
from engine.ledger import drafts_of
from engine.ports import Circumstances, ConsentChange, Unavailable
from infra import ledger_store_erasures, redis_store_erasure
from infra.ledger_store import open_database
from infra.ledger_store_consent import Commit, ConsentLedger, open_ledger
from infra.ledger_store_erasures import ANEW, IN_PLACE, file_anew, overwriting
from infra.ledger_store_rejects import Body, SqlRejectBodies
from infra.redis_store import RedisClient

SAID = b"QQSAIDQQ"
ANN, BOB = "a" * 16, "b" * 16
T = 1_790_000_000_000


def holding(home: Path, needle: bytes = SAID) -> list[str]:
    """The files that hold these bytes."""
    return [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and needle in path.read_bytes()]


async def written(home: Path) -> None:
    """Once the append-only file, which is flushed every second, holds what was said."""
    async with asyncio.timeout(10):
        # reason: there is nothing to wait for but the file
        while not holding(home):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_the_embedded_redis_forgets_what_was_deleted(redis: RedisClient, tmp_path: Path) -> None:
    await redis.set("gone", SAID)
    await redis.set("kept", b"kept")
    await written(tmp_path)
    await redis.delete("gone")
    assert await redis_store_erasure.file_anew(redis, tmp_path / "redis") == redis_store_erasure.ANEW
    assert holding(tmp_path) == []
    assert await redis.get("kept") == b"kept"


async def test_a_rewriting_that_began_before_is_not_enough(redis: RedisClient, tmp_path: Path) -> None:
    await redis.set("gone", SAID)
    for number in range(200):
        await redis.set(f"filling {number}", b"x" * 100_000)
    await redis.bgrewriteaof()
    await redis.delete("gone")
    assert await redis_store_erasure.file_anew(redis, tmp_path / "redis") == redis_store_erasure.ANEW
    assert holding(tmp_path) == []


async def test_a_redis_with_its_files_elsewhere_is_left_alone(redis: RedisClient, tmp_path: Path) -> None:
    await redis.set("gone", SAID)
    await redis.delete("gone")
    await written(tmp_path)
    assert await redis_store_erasure.file_anew(redis, tmp_path / "another") == redis_store_erasure.NOT_OURS
    assert holding(tmp_path) != []


async def refused_tries(redis: RedisClient) -> int:
    said = await redis.info("commandstats")
    return int(said["cmdstat_bgrewriteaof"]["rejected_calls"])


async def test_a_redis_that_refuses_is_asked_now_and_then_and_given_up(redis: RedisClient, tmp_path: Path) -> None:
    await redis.execute_command("ACL", "SETUSER", "default", "-bgrewriteaof")
    with pytest.raises(Unavailable, match="refuses to write its append-only file anew"):
        await redis_store_erasure.file_anew(redis, tmp_path / "redis", 1.5)
    assert 2 <= await refused_tries(redis) <= 4


async def filled(url: str) -> tuple[ConsentLedger, SqlRejectBodies]:
    """What Ann and Bob said, in the ledger and in rejects of every size."""
    ledger = ConsentLedger(overwriting(open_ledger(url)), lambda: T)
    rejects = SqlRejectBodies(overwriting(open_database(url)))
    for number in range(60):
        whom, said = (ANN, SAID) if number % 2 else (BOB, b"QQKEPTQQ")
        statement = Statement(GRANTED, T + number, said.decode(), explicit=True)
        drafts = drafts_of({whom: ConsentChange({"marketing": statement})}, Circumstances(at=T), {whom: f"r{number}"})
        await ledger.commit(Commit(drafts, [whom]))
        await rejects.keep([Body(f"{number:032x}", frozenset({whom}), said * (1 + 40 * number))], T)
    return ledger, rejects


async def erased(ledger: ConsentLedger, rejects: SqlRejectBodies) -> None:
    assert ledger.erase_payloads([ANN]) == 30
    assert rejects.erase([ANN]) == 30


async def test_a_database_file_forgets_what_was_deleted(tmp_path: Path) -> None:
    """While other processes, here other engines, keep their connections open."""
    url = f"sqlite:///{tmp_path / 'rapport.db'}"
    stores = await filled(url)
    await erased(*stores)
    assert holding(tmp_path) != []
    assert await file_anew(open_database(url)) == ANEW
    assert holding(tmp_path) == []
    assert holding(tmp_path, b"QQKEPTQQ") == ["rapport.db"]
    assert (await asyncio.to_thread(stores[0].verify)).broken is None
    await stores[0].close()


async def test_a_very_long_file_is_overwritten_in_place(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'rapport.db'}"
    stores = await filled(url)
    await erased(*stores)
    assert await file_anew(open_database(url), longest=0) == IN_PLACE
    assert holding(tmp_path) == []
    await stores[0].close()


async def test_a_file_that_is_being_read_is_looked_at_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'rapport.db'}"
    ledger, _ = await filled(url)
    database = open_database(url)
    with open_database(url).connect() as reading:
        reading.exec_driver_sql("BEGIN")
        reading.execute(text("SELECT count(*) FROM reject_bodies")).all()
        with pytest.raises(Unavailable):
            await file_anew(database)
    assert await file_anew(database) == ANEW
    await ledger.close()


async def test_a_database_server_is_its_operators(database_url: str) -> None:
    ours = database_url.startswith("sqlite")
    assert await file_anew(open_database(database_url)) == (ANEW if ours else ledger_store_erasures.NOT_OURS)
