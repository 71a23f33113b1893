"""What every keeper of the audit of reads promises: lines in order, found by person and by key; and what the one in SQL
promises beside it: nothing is lost while the database is away or when the process stops in good order."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy

from engine.audit import PROFILE, Read, Reads, Sought
from engine.ports import Unavailable
from infra import ledger_store_reads
from infra.ledger_store import open_database
from infra.ledger_store_reads import SqlReads
from infra.memory_reads import MemoryReads
from tests.conftest import SQL

NOW = 1_790_000_000_000


def line(number: int, who: str = "desk", profile: str = "a" * 16) -> Read:
    return Read(NOW + number, who, "agent", PROFILE, ("service", "personalization"), profile)


def database(path: Path) -> sqlalchemy.Engine:
    return open_database(f"sqlite:///{path / 'reads.db'}")


@pytest.fixture(params=["memory", *SQL])
async def reads(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> AsyncIterator[Reads]:
    if request.param == "memory":
        yield MemoryReads()
        return
    opened = SqlReads(open_database(new_url(request.param)))
    await opened.begin()
    yield opened
    await opened.end()


async def found(reads: Reads, sought: Sought) -> list[Read]:
    return [read for _, read in await reads.sought(sought)]


async def test_a_line_comes_back_as_it_was_noted(reads: Reads) -> None:
    reads.note(line(1))
    assert await found(reads, Sought()) == [line(1)]


async def test_lines_are_found_by_person_and_by_key(reads: Reads) -> None:
    kept = [line(1), line(2, who="campaigns"), line(3, profile="b" * 16)]
    for one in kept:
        reads.note(one)
    assert await found(reads, Sought()) == kept[::-1]
    assert await found(reads, Sought(who="campaigns")) == [kept[1]]
    assert await found(reads, Sought(profile_ids=("b" * 16, "c" * 16))) == [kept[2]]
    assert await found(reads, Sought(profile_ids=("c" * 16,))) == []


async def test_pages_join(reads: Reads) -> None:
    for number in range(7):
        reads.note(line(number))
    pages, before = [], 0
    for _ in range(3):
        page = await reads.sought(Sought(before=before, limit=3))
        before = page[-1][0]
        pages += [read for _, read in page]
    assert pages == [line(number) for number in range(6, -1, -1)]


async def test_a_clean_stop_keeps_every_line(tmp_path: Path) -> None:
    opened = SqlReads(database(tmp_path))
    await opened.begin()
    for number in range(2_500):
        opened.note(line(number))
    await opened.end()
    kept = await SqlReads(database(tmp_path)).sought(Sought(limit=10_000))
    assert [read for _, read in kept] == [line(number) for number in range(2_499, -1, -1)]


async def test_lines_wait_while_the_database_is_away(tmp_path: Path) -> None:
    engine = database(tmp_path)
    opened = SqlReads(engine)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("ALTER TABLE reads RENAME TO elsewhere"))
    opened.note(line(1))
    with pytest.raises(Unavailable):
        await opened.sought(Sought())
    opened.note(line(2))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("ALTER TABLE elsewhere RENAME TO reads"))
    assert await found(opened, Sought()) == [line(2), line(1)]


async def test_nobody_reads_unseen(tmp_path: Path) -> None:
    opened = SqlReads(database(tmp_path))
    for number in range(ledger_store_reads.MOST_WAITING):
        opened.note(line(number))
    with pytest.raises(Unavailable, match="cannot be recorded"):
        opened.note(line(0))
    await opened.end()
    opened.note(line(1))
    assert await found(opened, Sought(limit=1)) == [line(1)]
