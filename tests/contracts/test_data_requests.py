"""What every keeper of data subjects' requests promises: one request per id, one claimant per request, nothing
forgotten."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from engine.data_request import (
    CANCELLED,
    COMPLETED,
    ERASURE,
    IN_PROGRESS,
    PATIENCE_MS,
    PENDING,
    DataRequest,
    DataRequests,
    digest_of,
)
from infra.ledger_store import open_database
from infra.ledger_store_requests import SqlRequests
from infra.memory_requests import MemoryRequests
from tests.conftest import SQL

NOW = 1_790_000_000_000
SUBJECTS = (("a" * 16, "email"), ("b" * 16, "user_id"))
REQUEST = DataRequest(
    id="a7551968-d5d6-44b2-9831-815ac9017798",
    controller="preferences",
    kind=ERASURE,
    regulation="gdpr",
    digest=digest_of(ERASURE, "gdpr", SUBJECTS),
    subjects=SUBJECTS,
    received_at=NOW,
    due_at=NOW + 10,
)
Opening = Callable[[], DataRequests]


@pytest.fixture(params=["memory", *SQL])
def opening(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> Opening:
    """Opens the keeper, as often as asked: of SQL each is another process's."""
    if request.param == "memory":
        kept = MemoryRequests()
        return lambda: kept
    url = new_url(request.param)
    return lambda: SqlRequests(open_database(url))


async def test_an_id_is_kept_once(opening: Opening) -> None:
    other = msgspec.structs.replace(REQUEST, received_at=NOW + 5, digest="another")
    assert await opening().add(REQUEST) == REQUEST
    assert await opening().add(other) == REQUEST
    assert await opening().find(REQUEST.id) == REQUEST
    assert await opening().find("none") is None


async def test_each_is_claimed_by_one_when_it_is_due(opening: Opening) -> None:
    await opening().add(REQUEST)
    assert await opening().claim(NOW + 9) == []
    found = await asyncio.gather(*(opening().claim(NOW + 10) for _ in range(4)))
    [claimed] = [one for some in found for one in some]
    assert (claimed.state, claimed.started_at, claimed.subjects) == (IN_PROGRESS, NOW + 10, SUBJECTS)


async def test_what_was_begun_and_left_is_claimed_again(opening: Opening) -> None:
    await opening().add(REQUEST)
    await opening().claim(NOW + 10)
    assert await opening().claim(NOW + 10 + PATIENCE_MS - 1) == []
    [again] = await opening().claim(NOW + 10 + PATIENCE_MS)
    assert again.started_at == NOW + 10 + PATIENCE_MS


async def test_what_was_carried_out_stays_so(opening: Opening) -> None:
    await opening().add(REQUEST)
    await opening().claim(NOW + 10)
    await opening().settle(REQUEST.id, IN_PROGRESS, ["job-1", "job-2"])
    assert await opening().claim(NOW + 10 * PATIENCE_MS) == []
    assert not await opening().cancel(REQUEST.id)
    found = await opening().find(REQUEST.id)
    assert found is not None
    assert (found.state, found.jobs) == (IN_PROGRESS, ("job-1", "job-2"))


async def test_only_what_is_pending_is_called_back(opening: Opening) -> None:
    await opening().add(REQUEST)
    assert await opening().cancel(REQUEST.id)
    assert not await opening().cancel(REQUEST.id)
    assert not await opening().cancel("none")
    assert await opening().claim(NOW + 10) == []
    found = await opening().find(REQUEST.id)
    assert found is not None
    assert found.state == CANCELLED


async def test_ids_are_forgotten_where_nothing_waits_for_them(opening: Opening) -> None:
    waiting = msgspec.structs.replace(REQUEST, id="waiting", due_at=NOW + 10_000)
    for one in (REQUEST, waiting):
        await opening().add(one)
    await opening().claim(NOW + 10)
    await opening().settle(REQUEST.id, COMPLETED, [])
    assert await opening().forget(NOW) == 0
    assert await opening().forget(NOW + 1) == 1
    assert await opening().forget(NOW + 1) == 0
    settled, kept = await opening().find(REQUEST.id), await opening().find("waiting")
    assert settled is not None
    assert kept is not None
    assert (settled.subjects, settled.state) == ((), COMPLETED)
    assert (kept.subjects, kept.state) == (SUBJECTS, PENDING)
