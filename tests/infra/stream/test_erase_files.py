"""The servers' files are written anew beside the archiver's rounds; who was emptied before is completed afterwards."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engine.erasure_job import COMPLETED, IN_PROGRESS
from engine.ports import Unavailable
from infra.archiver import Archiver
from infra.erasure import Erasing
from infra.erasure_process import open_reach
from infra.processes import RunningServer
from tests.infra.stream.bed import Bed, event
from tests.infra.stream.house import ANN, BOB, House, grown

PATIENCE = 0.05


class Files:
    """Files that take until somebody ends it; each writing has its outcome."""

    def __init__(self) -> None:
        self.writings: list[asyncio.Future[Mapping[str, str]]] = []
        self.cancelled = 0

    async def anew(self) -> Mapping[str, str]:
        self.writings.append(asyncio.get_running_loop().create_future())
        try:
            return await self.writings[-1]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def done(self, number: int) -> None:
        self.writings[number].set_result({"files of Redis": f"writing {number}"})


class Counted:
    """A store that holds nothing, and whom it was asked to forget."""

    name = "counted"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def erase(self, ids: Sequence[str], _before: int) -> int:
        self.asked.append(list(ids))
        return 0


class Slow:
    """The house with slow files, and what became of its erasures."""

    def __init__(self, house: House) -> None:
        self.house, self.files, self.counted = house, Files(), Counted()
        whole = open_reach(house.settings, house.bed.redis, house.bed.clock)
        reach = replace(whole, anew=self.files.anew, erasers=(*whole.erasers, self.counted))
        self.erasing = Erasing(reach, PATIENCE)
        self.archiver = house.archiver = Archiver(house.settings, house.bed.clock, self.erasing)

    async def emptied(self, home: str, job: str) -> None:
        await self.house.ask(home, job=job)
        await self.house.finish(job)

    async def status(self, job: str) -> str:
        found = await self.house.jobs.find(job)
        assert found is not None
        return found.status

    async def note(self, job: str) -> str:
        found = await self.house.jobs.find(job)
        assert found is not None
        return next(one.note for one in found.stores if one.store == "files of Redis")


@pytest.fixture
async def slow(bed: Bed, any_redis: RunningServer, tmp_path: Path) -> AsyncIterator[Slow]:
    made = Slow(House(bed, any_redis, tmp_path))
    await grown(made.house)
    yield made
    await made.erasing.end()


async def test_archiving_goes_on_while_the_files_are_written(slow: Slow) -> None:
    await slow.emptied(ANN, "job-1")
    assert (await slow.status("job-1"), len(slow.files.writings)) == (IN_PROGRESS, 1)
    await slow.house.feed(event(user="bob", minute=40, messageId="new"))
    async with asyncio.timeout(5):
        assert await slow.archiver.round() == 1
    slow.files.done(0)
    await slow.archiver.round()
    assert (await slow.status("job-1"), len(slow.files.writings)) == (COMPLETED, 1)
    assert await slow.house.replayed() == await slow.house.live()


async def test_who_only_waits_for_the_files_is_not_erased_again(slow: Slow) -> None:
    await slow.emptied(ANN, "job-1")
    for _ in range(3):
        await slow.archiver.round()
    assert len(slow.counted.asked) == 1


async def test_an_erasure_emptied_meanwhile_needs_a_later_writing(slow: Slow) -> None:
    await slow.emptied(ANN, "job-1")
    await slow.emptied(BOB, "job-2")
    assert len(slow.files.writings) == 1
    slow.files.done(0)
    await slow.archiver.round()
    assert [await slow.status(job) for job in ("job-1", "job-2")] == [COMPLETED, IN_PROGRESS]
    slow.files.done(1)
    await slow.archiver.round()
    assert [await slow.status(job) for job in ("job-1", "job-2")] == [COMPLETED, COMPLETED]
    assert [await slow.note(job) for job in ("job-1", "job-2")] == ["writing 0", "writing 1"]


async def test_an_erasure_that_reaches_more_meanwhile_needs_a_later_writing(slow: Slow) -> None:
    await slow.emptied(BOB, "job-1")
    await slow.house.feed(event("identify", user="bob", anonymousId="his", minute=4, messageId="told"))
    await slow.house.finish("job-1")
    found = await slow.house.jobs.find("job-1")
    assert found is not None
    assert len(found.identifiers) == 2
    slow.files.done(0)
    await slow.archiver.round()
    assert (await slow.status("job-1"), len(slow.files.writings)) == (IN_PROGRESS, 2)
    slow.files.done(1)
    await slow.archiver.round()
    assert await slow.status("job-1") == COMPLETED


async def test_a_failed_writing_is_tried_again(slow: Slow, caplog: pytest.LogCaptureFixture) -> None:
    await slow.emptied(ANN, "job-1")
    slow.files.writings[0].set_exception(Unavailable("Redis refuses"))
    await slow.archiver.round()
    assert "an erasure waits" in caplog.text
    await slow.archiver.round()
    slow.files.done(1)
    await slow.archiver.round()
    assert (await slow.status("job-1"), await slow.note("job-1")) == (COMPLETED, "writing 1")


async def test_a_process_that_ends_leaves_the_files_to_the_next(slow: Slow) -> None:
    await slow.emptied(ANN, "job-1")
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(10):
        await slow.archiver.run(stop)
    assert slow.files.cancelled == 1
    assert await slow.status("job-1") == IN_PROGRESS
    slow.house.archiver = Archiver(slow.house.settings, slow.house.bed.clock)
    assert (await slow.house.finish("job-1")).status == COMPLETED
