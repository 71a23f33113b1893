"""What is derived for everybody who changed: Feast row, queues, a tombstone under an id that is no profile's."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.consent import DENIED, GRANTED, Statement
from engine.ports import ConsentChange, Entry
from engine.signals import DAY
from features.views import PROFILE
from infra.clock import now_ms
from infra.config import LiveConfiguration
from infra.feast_layout import encode_version
from infra.redis_store_features import ProfileRow, RedisFeatures
from infra.redis_store_queues import RedisQueues
from infra.settings import DEMO_CONFIG, Settings
from infra.stream.publish import Publisher
from tests.infra.stream.bed import START, Bed, event, id_of, record

ANN, COOKIE = id_of("user_id", "ann"), id_of("anonymous_id", "cookie")
BOB = id_of("user_id", "bob")
# of the European law in the demo's configuration
DEMO_VALID_DAYS = 730
FOLLOW_UP = "complaint_follow_up"


class Published:
    """A publisher on the bed's Redis, and what it wrote."""

    def __init__(self, bed: Bed, home: Path) -> None:
        self.bed = bed
        self.now = now_ms()
        self.publisher = Publisher(
            Settings(data_dir=home, partitions=1), LiveConfiguration(DEMO_CONFIG), bed.redis, clock=lambda: self.now
        )
        self.features, self.queues = RedisFeatures(bed.redis), RedisQueues(bed.redis)

    async def __call__(self, *ids: str) -> None:
        await self.publisher.take([msgspec.msgpack.encode(list(ids))])

    async def column(self, name: str, profile_id: str = ANN) -> float:
        row = await self.features.read_profile(profile_id)
        assert row is not None
        return float(row.values[PROFILE.names.index(name)])

    async def queue(self, name: str = FOLLOW_UP) -> list[str]:
        return [entry.profile_id for entry in (await self.queues.entries(name, 10))[0]]


@pytest.fixture
def published(bed: Bed, tmp_path: Path) -> Published:
    return Published(bed, tmp_path)


def opened(user: str = "ann", minute: int = 0) -> bytes:
    return record(event(user=user, minute=minute, event="Issue Opened", properties={"issueId": "i", "topic": "bill"}))


async def test_a_change_becomes_a_row_and_a_place_in_the_queue(bed: Bed, published: Published) -> None:
    await bed.partition().take(0, opened())
    await published(ANN)
    assert await published.column("unresolved_issues") == 1.0
    assert await published.queue() == [ANN]
    await bed.partition().take(
        1, record(event(minute=1, event="Issue Resolved", properties={"issueId": "i", "topic": "bill"}))
    )
    await published(ANN)
    assert await published.column("unresolved_issues") == 0.0
    assert await published.queue() == []


async def test_after_a_merge_the_old_profile_is_gone_and_stays_gone(bed: Bed, published: Published) -> None:
    raw = event(userId=None, anonymousId="cookie", event="Issue Opened", properties={"issueId": "i", "topic": "bill"})
    await bed.partition().take(0, record(raw))
    await published(COOKIE)
    assert await published.queue() == [COOKIE]
    row = await published.features.read_profile(COOKIE)
    assert row is not None
    await bed.partition().take(1, record(event("identify", anonymousId="cookie", minute=1)))
    await bed.relation().take(0, await bed.link_record())
    await published(*bed.told)
    assert await published.features.read_profile(COOKIE) is None
    assert await published.column("unresolved_issues") == 1.0
    assert await published.queue() == [ANN]
    late = ProfileRow(COOKIE, (0, 0, 99), START, row.values)
    assert await published.features.write_profiles([late]) == 0
    assert await published.features.read_profile(COOKIE) is None


async def test_a_withdrawal_empties_what_was_published(bed: Bed, published: Published) -> None:
    viewed = event(minute=1, event="Product Viewed", properties={"category": "tv"})
    await bed.partition().take(0, record(event("identify", traits={"country": "US"}), viewed))
    await published(ANN)
    assert await published.column("product_views_30d") > 0
    no = Statement(DENIED, START, "preference page")
    await bed.consents.write({ANN: ConsentChange({"personalization": no})})
    await published(ANN)
    assert math.isnan(await published.column("product_views_30d"))


async def test_a_row_closes_when_the_yes_it_rests_on_expires(bed: Bed, published: Published) -> None:
    """Nothing happens to Ann meanwhile, and one more who cannot be published is in nobody's way."""
    viewed = event(minute=1, event="Product Viewed", properties={"category": "tv"})
    await bed.partition().take(0, record(event("identify", traits={"country": "DE"}), viewed))
    await bed.redis.set(f"{{p0}}f:{BOB}", b"not a fragment")
    publisher, features, first = published.publisher, published.features, published.now

    async def says(status: str, at: int) -> None:
        said = Statement(status, at, "page", covers=(ANN,))
        await bed.consents.write({ANN: ConsentChange({"personalization": said})})
        await published(ANN)

    await says(GRANTED, first - DEMO_VALID_DAYS * DAY + 1_000)
    await publisher.close_expired(publisher.derive)
    assert await published.column("product_views_30d") > 0
    assert await features.ended(first + 1_000, 10) == [ANN]
    published.now = first + 1_000
    await publisher.close_expired(publisher.derive)
    assert math.isnan(await published.column("product_views_30d"))
    assert await features.ended(first + 1_000, 10) == []
    # a yes said anew opens it again; one that is withdrawn is looked at once more, and then never again
    await says(GRANTED, first)
    assert await published.column("product_views_30d") > 0
    await says(DENIED, first + 2_000)
    published.now = first + DEMO_VALID_DAYS * DAY
    assert await features.ended(published.now, 10) == [ANN]
    await publisher.close_expired(publisher.derive)
    assert await features.ended(published.now, 10) == []


async def test_who_cannot_be_published_is_not_due_for_ever(bed: Bed, published: Published) -> None:
    row = ProfileRow(BOB, (0, 0, 1), START, np.zeros(len(PROFILE.names), np.float32), START + 5)
    await published.features.write_profiles([row])
    await bed.redis.set(f"{{p0}}f:{BOB}", b"not a fragment")
    await published.publisher.close_expired(published.publisher.derive)
    assert await published.features.ended(published.now, 10) == []


async def test_an_end_only_moves_earlier_and_belongs_to_a_row_that_was_written(published: Published) -> None:
    """Two publish one person at once, one of them with what it read before the yes."""
    features = published.features

    async def writes(count: int, until: int | None, at: int = START) -> None:
        values = np.zeros(len(PROFILE.names), np.float32)
        await features.write_profiles([ProfileRow(ANN, (0, 0, count), at, values, until)])

    async def due() -> int | None:
        found = [at for at in range(START, START + 100, 10) if await features.ended(at, 1)]
        return found[0] if found else None

    await writes(2, START + 50)
    await writes(1, START + 20)
    await writes(2, None)
    await writes(3, START + 70)
    assert await due() == START + 50
    await writes(4, START + 30)
    assert await due() == START + 30
    # what is due makes room for what is not
    await writes(5, START + 90, at=START + 30)
    assert await due() == START + 90
    # and who wrote meanwhile with a clock of before is looked at again
    await features.hold_ended([ANN], START + 95)
    await writes(5, START + 92, at=START + 80)
    await features.drop_ended([ANN], START + 95)
    assert await features.ended(START + 95, 1) == [ANN]
    await features.hold_ended([ANN], START + 95)
    await features.drop_ended([ANN], START + 95)
    assert await features.ended(START + 99, 1) == []


async def test_nothing_waits_for_a_row_that_is_gone(published: Published) -> None:
    rows = [
        ProfileRow(identity, (0, 0, 1), START, np.zeros(len(PROFILE.names), np.float32), START + 5 + number)
        for number, identity in enumerate((ANN, COOKIE))
    ]
    await published.features.write_profiles(rows)
    assert await published.features.ended(START + 6, 1) == [ANN]
    await published.features.remove_profile(COOKIE, 1)
    await published.features.erase_profile(ANN, encode_version((1, 0, 0)))
    assert await published.features.ended(START + 6, 10) == []
    # a removal that comes too late takes nothing away
    newer = ProfileRow(ANN, (7, 0, 1), START, np.zeros(len(PROFILE.names), np.float32), START + 5)
    await published.features.write_profiles([newer])
    assert not await published.features.remove_profile(ANN, 6)
    assert await published.features.ended(START + 6, 10) == [ANN]


async def test_an_older_view_never_replaces_a_newer_place(bed: Bed) -> None:
    queues = RedisQueues(bed.redis)

    def place(count: int, priority: float | None) -> dict[str, tuple[bytes, Entry | None]]:
        entry = None if priority is None else Entry(ANN, "q", priority, "voice", "call_back", (), START, START)
        return {ANN: (encode_version((1, 0, count)), entry)}

    async def priorities() -> list[float]:
        return [entry.priority for entry in (await queues.entries("q", 10))[0]]

    await queues.write("q", place(5, None))
    await queues.write("q", place(3, 1.0))
    assert await priorities() == [1.0]
    await queues.write("q", place(9, 2.0))
    await queues.write("q", place(7, 3.0))
    await queues.write("q", place(8, None))
    assert await priorities() == [2.0]
    await queues.write("q", place(9, 4.0))
    assert await priorities() == [4.0]
    await queues.write("q", place(10, None))
    await queues.write("q", place(9, 5.0))
    assert await priorities() == []


async def test_one_person_who_cannot_be_published_stops_nobody(bed: Bed, published: Published) -> None:
    await bed.partition().take(0, record(event(), event(user="bob")))
    await bed.redis.set(f"{{p0}}f:{BOB}", b"not a fragment")
    await published(BOB, ANN)
    assert await published.column("events_30d") > 0


async def test_notices_that_nobody_can_read_are_passed_over(bed: Bed, published: Published) -> None:
    await bed.partition().take(0, record(event()))
    await published.publisher.take([b"nonsense", msgspec.msgpack.encode([ANN]), msgspec.msgpack.encode("x")])
    assert await published.features.read_profile(ANN) is not None


async def test_somebody_unknown_gets_no_row(published: Published) -> None:
    await published(ANN)
    assert await published.features.read_profile(ANN) is None
