"""A rebuild put in place while real workers fold: what was made wrong is right again, nobody restarts, every event that
came meanwhile is applied once, and identity is derived again by its one writer."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from infra.archiver import Archiver
from infra.config import load
from infra.doctor import Finding, examine
from infra.fragment_bytes import unpack
from infra.kafka_log import describe_topics
from infra.processes import RunningServer
from infra.rebuild_run import Asked, Replayed, replay_now
from infra.redis_store import connect, encode_index
from infra.redis_store_rules import RulesRecord, rules_now
from infra.settings import Settings
from infra.topics import fragment_key, index_key
from infra.wiring import prepare
from tests.e2e.fleet import SECRET, START, Fleet, accepted
from tests.servers import database

pytestmark = pytest.mark.slow
EVENTS, MORE = 6_000, 12_000


@pytest.fixture
async def fleet(embedded_broker: RunningServer, embedded_redis: RunningServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    settings = Settings(
        kafka_url=embedded_broker.url,
        redis_url=database(embedded_redis.url, 13),
        data_dir=tmp_path,
        prefix=f"rebuild-{uuid4().hex[:8]}-",
        partitions=4,
        secret=SECRET.decode(),
        rebalance_seconds=1.0,
    )
    redis = connect(settings.redis_url)
    await redis.flushdb()
    await redis.aclose()
    await prepare(settings)
    made = Fleet(settings)
    yield made
    await made.close()


async def records(fleet: Fleet) -> int:
    rows = await describe_topics(fleet.settings.kafka_url, fleet.settings.prefix)
    return next(count for name, _, count in rows if name.endswith("events"))


async def replayed(fleet: Fleet, asked: Asked) -> Replayed:
    return await replay_now(fleet.settings, asked, time.perf_counter, lambda _done, _of: None)


async def test_a_rebuild_is_put_in_place_under_load(fleet: Fleet) -> None:
    events = accepted(EVENTS, seed=41)
    await fleet.append(events, 60)
    worker = fleet.start()
    await fleet.until_applied(await records(fleet))
    await fleet.until_linked()
    await Archiver(fleet.settings, lambda: START).round()
    assert (await replayed(fleet, Asked())).equal
    wrong = sorted({event.home for event in events})[::3]
    for home in wrong:
        await _spoil(fleet, home)
    more = [msgspec.structs.replace(e, message_id=f"more-{e.message_id}") for e in accepted(MORE, seed=42)]
    loading = asyncio.create_task(fleet.append(more, 20))
    found = await replayed(fleet, Asked(switch=True))
    await loading
    assert worker.alive()
    assert found.equal
    assert found.replaced >= 1
    await fleet.until_applied(await records(fleet))
    await fleet.until_linked()
    kept = await fleet.kept()
    assert len(kept) == EVENTS + MORE
    again = await replayed(fleet, Asked())
    assert again.equal, list(again.named())
    assert again.events == EVENTS + MORE


async def _advised(fleet: Fleet) -> Finding:
    return next(one for one in await examine(fleet.settings) if one.name == "rules")


async def test_other_rules_are_noticed_until_a_rebuild_was_put_in_place(fleet: Fleet) -> None:
    await fleet.append(accepted(600, seed=43), 60)
    fleet.start()
    await fleet.until_applied(await records(fleet))
    await fleet.until_linked()
    assert not (await _advised(fleet)).warning
    record, now = RulesRecord(fleet.redis), rules_now(load(fleet.settings.config_dir).identity)
    assert await record.made() == now
    for name, words, renewed in (("identity", "identity.yaml", False), ("features", "the feature spec", True)):
        await record.replace({**now, name: "what it was"})
        advised = await _advised(fleet)
        assert (advised.ok, advised.warning, words in advised.detail) == (True, True, True)
        assert "`rapport replay --switch`" in advised.detail
        # looking puts nothing in place
        fragments = sum(one.fragments for one in (await replayed(fleet, Asked())).partitions)
        assert (await _advised(fleet)).warning
        found = await replayed(fleet, Asked(switch=True))
        assert (found.equal, found.replaced) == (True, fragments if renewed else 0)
        assert not (await _advised(fleet)).warning


async def _spoil(fleet: Fleet, home: str) -> None:
    """The fragment counts wrong, and the index knows nobody but the home itself."""
    for partition in range(fleet.settings.partitions):
        raw = await fleet.redis.get(fragment_key(partition, home))
        if raw is None:
            continue
        stored = unpack(raw)
        state = msgspec.structs.replace(stored.fragment.state, count=stored.fragment.state.count + 7)
        wrong = msgspec.structs.replace(stored, fragment=msgspec.structs.replace(stored.fragment, state=state))
        await fleet.redis.set(fragment_key(partition, home), msgspec.msgpack.encode(wrong))
        await fleet.redis.set(index_key(partition, home), encode_index(1, (home,)))
