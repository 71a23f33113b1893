"""The stores an erasure empties, one by one, and what keeps its jobs."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from engine.erasure_job import COMPLETED, Job, Removed
from engine.identity import Person
from engine.ports import Entry, Stored
from engine.profile import Fragment
from engine.records import Position, encode
from features.views import PROFILE
from infra.archive_features import FeatureTable
from infra.erasure_stores import OfflineFeatures, OnlineFeatures, OutreachQueues
from infra.feast_layout import encode_version
from infra.kafka_log import ensure_topics
from infra.kafka_log_retention import UNKNOWN, ends
from infra.ledger_store import open_database
from infra.ledger_store_erasures import SqlErasures
from infra.processes import RunningServer
from infra.redis_store import RedisClient, RedisPeople, connect
from infra.redis_store_features import ProfileRow, RedisFeatures
from infra.redis_store_links import LinkStore
from infra.redis_store_queues import RedisQueues
from infra.topics import fragment_key
from tests.servers import database

ANN, BOB = "a" * 16, "b" * 16
T = 1_790_000_000_000
ROW = np.ones(len(PROFILE.names), np.float32)


def job(number: int, **fields: object) -> Job:
    made = Job(f"j{number}", ANN, "user_id", "desk", "test", T + number, T + number + 2000)
    return Job(**{**{name: getattr(made, name) for name in made.__struct_fields__}, **fields})


async def test_jobs_outlive_the_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'rapport.db'}"
    jobs = SqlErasures(open_database(url))
    kept = job(1).with_removed("archive events", 3).with_removed("archive events", 2)
    assert kept.stores == (Removed("archive events", 5),)
    await jobs.save(job(1))
    await jobs.save(kept)
    await jobs.save(job(2, status=COMPLETED, identifiers=(ANN, BOB)))
    again = SqlErasures(open_database(url))
    assert await again.find("j1") == kept
    assert [one.id for one in await again.unfinished()] == ["j1"]
    await again.drop("j1")
    assert await again.find("j1") is None


async def test_ids_leave_a_certificate_when_nothing_can_be_late(tmp_path: Path) -> None:
    jobs = SqlErasures(open_database(f"sqlite:///{tmp_path / 'rapport.db'}"))
    await jobs.save(job(1, status=COMPLETED, identifiers=(ANN,), stores=(Removed("fragments", 1),)))
    await jobs.save(job(9000, status=COMPLETED, identifiers=(ANN, BOB)))
    assert await jobs.suppressed(T) == {ANN: T + 11_000, BOB: T + 11_000}
    assert await jobs.forget_ids(T + 5000) == 1
    assert await jobs.forget_ids(T + 5000) == 0
    old = await jobs.find("j1")
    assert old is not None
    assert (old.identifiers, old.subject, old.stores) == ((), "", (Removed("fragments", 1),))


async def test_when_the_log_forgets(any_broker: RunningServer) -> None:
    """Kafka's topics say how long they keep; the embedded broker keeps until it is restarted, and says nothing."""
    await ensure_topics(any_broker.url, "er-", 1)
    found = await ends(any_broker.url, "er-", T)
    assert [end.topic for end in found] == ["er-events", "er-inbox", "er-links", "er-changes", "er-rejects"]
    if any_broker.name == "kafka":
        week = 7 * 86_400_000
        assert {end.at for end in found} == {T + week + week + 300_000}
    else:
        assert {(end.at, end.note) for end in found} == {(None, UNKNOWN)}


async def test_a_log_that_cannot_be_asked_has_no_date() -> None:
    assert {end.at for end in await ends("", "", T)} == {None}


@pytest.fixture
async def redis(any_redis: RunningServer) -> AsyncIterator[RedisClient]:
    client = connect(database(any_redis.url, 12))
    await client.flushdb()
    yield client
    await client.aclose()


async def erased(redis: RedisClient, identity: str) -> None:
    """What the stations leave of somebody: an empty fragment, and an index entry of a new version."""
    stored = Stored(Position(1, 0, 5), T, Fragment(identity, erased=T))
    await redis.set(fragment_key(0, identity), encode(stored))
    await LinkStore(redis, 1).publish([Person((identity,))], 7)


async def test_features_and_queues_let_go_and_take_a_new_person(redis: RedisClient) -> None:
    people, features, queues = RedisPeople(redis, 1), RedisFeatures(redis), RedisQueues(redis)
    old = ProfileRow(ANN, (6, 40, 900), T, ROW)
    await features.write_profiles([old, ProfileRow(BOB, (0, 0, 1), T, ROW)])
    entry = Entry(ANN, "saves", 1.0, "call", "call_back", (), T, T)
    await queues.write("saves", {ANN: (encode_version(old.version), entry)})
    await erased(redis, ANN)
    online = OnlineFeatures(people, features)
    outreach = OutreachQueues(people, queues, lambda: ("saves", "other"))
    assert (await online.erase([ANN], T), await outreach.erase([ANN], T)) == (1, 1)
    assert (await online.erase([ANN], T), await outreach.erase([ANN], T)) == (0, 0)
    assert await features.write_profiles([old]) == 0
    await queues.write("saves", {ANN: (encode_version(old.version), entry)})
    assert await queues.entries("saves", 10) == ([], 0)
    assert await features.read_profile(ANN) is None
    view = await people.person(ANN)
    link_version, consents, _ = view.generation
    assert await features.write_profiles([ProfileRow(ANN, (link_version, consents, 1), T, ROW)]) == 1
    assert await features.read_profile(BOB) is not None


async def test_offline_rows_are_written_anew_without_the_person(tmp_path: Path) -> None:
    path = tmp_path / "offline" / PROFILE.name
    with FeatureTable(path, PROFILE) as table:
        for identity in (ANN, BOB, ANN):
            table.add((identity,), T, ROW)
    eraser = OfflineFeatures(path, PROFILE.join_keys[0])
    assert await eraser.erase([ANN], T) == 2
    assert await eraser.erase([ANN], T) == 0
    held = b"".join(file.read_bytes() for file in path.rglob("*.parquet"))
    assert ANN.encode() not in held
    assert BOB.encode() in held
    assert await OfflineFeatures(tmp_path / "none", "profile_id").erase([ANN], T) == 0
