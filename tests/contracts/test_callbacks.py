"""What every keeper of status callbacks promises: kept once, looked at by one claimant, back when left alone."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from engine.data_request import CANCELLED, COMPLETED, IN_PROGRESS, PATIENCE_MS
from engine.status_callback import (
    FIRST_PAUSE_MS,
    LONGEST_PAUSE_MS,
    MOST_TRIES,
    Callback,
    Callbacks,
    delivered,
    failed,
    secret_for,
)
from infra.ledger_store import open_database
from infra.ledger_store_callbacks import SqlCallbacks
from infra.memory_callbacks import MemoryCallbacks
from tests.conftest import SQL

NOW = 1_790_000_000_000
ONE = Callback("r-1", "https://controller.example/status", "https://rapport.example/o", "s", NOW + 10_000, NOW + 10)
Opening = Callable[[], Callbacks]


@pytest.fixture(params=["memory", *SQL])
def opening(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> Opening:
    """Opens the keeper, as often as asked: of SQL each is another process's."""
    if request.param == "memory":
        kept = MemoryCallbacks()
        return lambda: kept
    url = new_url(request.param)
    return lambda: SqlCallbacks(open_database(url))


def claimed(at: int) -> Callback:
    """The callback in the hands of whoever claimed it."""
    return msgspec.structs.replace(ONE, next_at=at + PATIENCE_MS)


async def test_each_is_claimed_by_one_when_it_is_due(opening: Opening) -> None:
    other = msgspec.structs.replace(ONE, url="https://controller.example/other", next_at=NOW + 11)
    for one in (ONE, msgspec.structs.replace(ONE, told=IN_PROGRESS), other):
        await opening().add(one)
    assert await opening().claim(NOW + 9) == []
    found = await asyncio.gather(*(opening().claim(NOW + 10) for _ in range(4)))
    assert [one for some in found for one in some] == [claimed(NOW + 10)]


async def test_what_a_dead_claimant_left_comes_back(opening: Opening) -> None:
    await opening().add(ONE)
    await opening().claim(NOW + 10)
    assert await opening().claim(NOW + 10 + PATIENCE_MS - 1) == []
    assert await opening().claim(NOW + 10 + PATIENCE_MS) == [claimed(NOW + 10 + PATIENCE_MS)]


async def test_how_it_stands_is_kept_and_what_is_done_is_forgotten(opening: Opening) -> None:
    await opening().add(ONE)
    again = failed(ONE, NOW)
    assert again is not None
    await opening().settle(again)
    assert await opening().claim(again.next_at) == [msgspec.structs.replace(claimed(again.next_at), tries=1)]
    await opening().forget(again)
    assert await opening().claim(NOW + 10 * LONGEST_PAUSE_MS) == []


def test_tries_come_later_and_later_and_end() -> None:
    one, pauses = failed(ONE, NOW), list[int]()
    while one is not None:
        pauses.append(one.next_at - NOW)
        assert one.tries == len(pauses)
        one = failed(one, NOW)
    assert len(pauses) == MOST_TRIES - 1
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_MS, LONGEST_PAUSE_MS)
    assert pauses == sorted(pauses)


def test_after_the_last_status_nothing_is_left_to_tell() -> None:
    tried = failed(ONE, NOW)
    assert tried is not None
    known = delivered(tried, IN_PROGRESS, NOW)
    assert known is not None
    assert (known.told, known.tries) == (IN_PROGRESS, 0)
    assert [delivered(known, status, NOW) for status in (COMPLETED, CANCELLED)] == [None, None]


def test_what_calls_are_signed_with_differs_by_key_and_by_request() -> None:
    assert len({secret_for("key", "a"), secret_for("key", "b"), secret_for("other", "a")}) == 3
