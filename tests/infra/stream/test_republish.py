"""A Redis that lost its last second: what was published and went with it is published again, though what it follows
from is still there and nothing more comes."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from infra.config import LiveConfiguration
from infra.redis_store import Runs, connect
from infra.redis_store_features import RedisFeatures
from infra.redis_store_published import Marks, PublishedMarks
from infra.redis_store_queues import RedisQueues
from infra.settings import DEMO_CONFIG, Settings
from infra.stream import publish
from infra.stream.publish import Publisher
from infra.stream.republish import LOOKS_BACK, Publish, Republishing
from infra.stream.unbroken import Unbroken
from infra.topics import counts_key
from tests.infra.forgetful import Forgetful
from tests.infra.stream.bed import Bed, event, id_of, record

ANN, BOB = id_of("user_id", "ann"), id_of("user_id", "bob")
FOLLOW_UP = "complaint_follow_up"
LOG = 1


class House:
    """A partition, its notices and who publishes them, over a Redis that can be made to forget. `notices` are what the
    topic holds; a `life` is one process that publishes."""

    def __init__(self, forgetful: Forgetful, home: Path) -> None:
        self.forgetful = forgetful
        self.settings = Settings(data_dir=home, partitions=1)
        self.notices: list[bytes] = []

    async def opened(self) -> "House":
        runs = Runs()
        self.bed = Bed(connect(await self.forgetful.start(), runs), runs=runs)
        self.marks = PublishedMarks(self.bed.redis)
        self.features, self.queues = RedisFeatures(self.bed.redis), RedisQueues(self.bed.redis)
        self.station, self.records = self.bed.partition(), 0
        await self.life()
        return self

    async def life(self) -> dict[int, int]:
        """A new publisher begins; what it took before is committed."""
        self.publisher = Publisher(self.settings, LiveConfiguration(DEMO_CONFIG), self.bed.redis)
        self.read = Unbroken(self._read)
        calls = Publish(self.publisher.take, self.publisher.derive, self.publisher.anew)
        self.republishing = Republishing(calls, self.read, self.marks, self.bed.runs)
        return await self.republishing.begin(LOG, {0: len(self.notices) or None})

    async def _read(self, _partition: int, first: int, end: int) -> list[tuple[int, bytes]]:
        return list(enumerate(self.notices))[first:end]

    async def fold(self, user: str) -> None:
        raised = event(user=user, event="Issue Opened", properties={"issueId": "i", "topic": "bill"})
        await self.station.take(self.records, record(raised))
        self.records += 1

    async def notice(self, identity: str) -> None:
        self.notices.append(msgspec.msgpack.encode([identity]))
        self.read.done(0, len(self.notices) - 1)
        await self.republishing.take(self.notices[-1:])

    async def looks(self, times: int = LOOKS_BACK + 1) -> None:
        for _ in range(times):
            await self.republishing.look()

    async def published(self, identity: str) -> tuple[bool, bool]:
        """Whether there is a row, and whether there is a place in the queue."""
        row = await self.features.read_profile(identity)
        waiting = [entry.profile_id for entry in (await self.queues.entries(FOLLOW_UP, 10))[0]]
        return row is not None, identity in waiting


@pytest.fixture
async def house(forgetful: Forgetful, tmp_path: Path) -> House:
    return await House(forgetful, tmp_path).opened()


ALL, NOTHING = (True, True), (False, False)


async def test_what_went_with_the_last_second_is_published_again_without_any_notice(house: House) -> None:
    await house.fold("ann")
    await house.looks()
    before = await house.forgetful.written()
    await house.notice(ANN)
    assert await house.published(ANN) == ALL
    assert (await house.marks.read(LOG)).now == {0: 1}
    await house.forgetful.forget_since(before)
    assert await house.published(ANN) == NOTHING
    assert (await house.marks.read(LOG)).now == {0: 0}
    await house.looks(1)
    assert await house.published(ANN) == ALL
    assert (await house.marks.read(LOG)).now == {0: 1}


async def test_the_next_notice_does_not_hide_what_is_missing_before_it(house: House) -> None:
    await house.fold("ann")
    await house.fold("bob")
    before = await house.forgetful.written()
    await house.notice(ANN)
    await house.forgetful.forget_since(before)
    await house.notice(BOB)
    assert await house.published(ANN) == await house.published(BOB) == ALL
    assert (await house.marks.read(LOG)).now == {0: 2}


async def test_who_begins_goes_back_to_before_what_may_be_missing(house: House) -> None:
    """The publisher died with Redis, after it had committed; it goes back no farther than it must."""
    await house.fold("ann")
    await house.looks()
    before = await house.forgetful.written()
    await house.notice(ANN)
    await house.forgetful.forget_since(before)
    assert await house.life() == {0: 0}
    await house.notice(ANN)
    await house.looks(LOOKS_BACK)
    assert (await house.marks.read(LOG)).earlier == {0: 0}
    await house.looks()
    assert (await house.marks.read(LOG)) == Marks({0: 2}, {0: 2})
    assert await house.life() == {}


async def test_who_was_published_without_a_notice_is_published_again_too(house: House) -> None:
    await house.fold("ann")
    await house.fold("bob")
    before = await house.forgetful.written()
    await house.republishing.beside([ANN])
    await house.looks(1)
    await house.republishing.beside([BOB])
    await house.forgetful.forget_since(before)
    assert await house.published(ANN) == await house.published(BOB) == NOTHING
    await house.looks(1)
    assert await house.published(ANN) == await house.published(BOB) == ALL


async def test_counters_across_profiles_come_back_though_they_did_not_change(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "CROSS_SECONDS", 0.05)
    await house.bed.redis.hincrby(counts_key(0), "call_back||presented", 2)
    before = await house.forgetful.written()
    running = asyncio.create_task(house.publisher.run())
    try:
        await _until(house.features.cross_counts)
        await house.forgetful.forget_since(before)
        await house.looks(1)
        await _until(house.features.cross_counts)
        assert await house.features.cross_counts() == {("call_back", ""): (2.0, 0.0)}
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _until(there: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(20):
        while not await there():  # noqa: ASYNC110 reason: a key in Redis gives no sign
            await asyncio.sleep(0.05)


async def test_of_which_partitions_nothing_was_ever_taken(house: House) -> None:
    assert set(house.republishing.untouched()) == {0}
    assert not house.republishing.untouched()
    await house.republishing.begin(LOG, {0: 3, 1: None, 2: 0})
    assert set(house.republishing.untouched()) == {1, 2}
    # of another log they may have people of the one before
    await house.republishing.begin(2, {3: None})
    assert not house.republishing.untouched()


async def test_marks_only_move_on_and_belong_to_one_log(house: House) -> None:
    await house.marks.move(2, Marks({0: 7, 1: 3}, {0: 5}))
    await house.marks.move(2, Marks({0: 6, 1: 4}, {0: 4}))
    await house.marks.move(1, Marks({0: 99}, {0: 99}))
    assert await house.marks.read(2) == Marks({0: 7, 1: 4}, {0: 5})
    await house.marks.move(10, Marks({0: 1}, {0: 0}))
    assert await house.marks.read(10) == Marks({0: 1}, {0: 0})
    assert await house.marks.read(2) == Marks({1: 4}, {})
