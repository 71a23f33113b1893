"""Everything killed at random under load, on Apache Kafka and redis-server: nothing accepted is lost, doubled or
different. `rapport bench --only chaos` is the same at full size."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.records import decode_record
from infra.bench.chaos import Endured, Plan, endured
from infra.bench.chaos_check import Verdict
from infra.bench.chaos_kafka import Absent
from infra.kafka_log import read_topic
from infra.redis_store_stream import PartitionStore
from infra.topics import EVENTS, fragment_key, index_key, tail_key, topic

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.slow,
    # a minute on a quiet machine; where other things run too everything takes longer
    pytest.mark.timeout(1800),
]


@contextlib.asynccontextmanager
async def survived(plan: Plan, home: Path) -> AsyncIterator[Endured]:
    """The run; skipped where this machine has no Kafka or Redis, failed where RAPPORT_REQUIRE_SERVERS is 1."""
    try:
        async with endured(plan, home, print) as found:
            yield found
    except Absent as absent:
        give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
        give_up(str(absent))


def assert_nothing_wrong(verdict: Verdict) -> None:
    assert not +verdict.lost
    assert not +verdict.doubled
    assert not +verdict.different
    assert verdict.redelivered > 0


async def test_what_was_accepted_is_applied_exactly_once_whatever_is_killed(tmp_path: Path) -> None:
    async with survived(Plan(events=20_000, kills=5, seed=7), tmp_path) as run:
        assert_nothing_wrong(run.outcome.verdict)
        assert run.outcome.verdict.refused > 0
        assert run.outcome.verdict.accepted > 18_000
        assert run.outcome.verdict.links > 1000
        await _planted_damage_is_found(run)


async def test_what_redis_forgot_is_read_again_even_if_nothing_more_comes(tmp_path: Path) -> None:
    plan = Plan(events=3_000, kills=2, seed=8, fsync="everysec", kinds=("redis",))
    async with survived(plan, tmp_path) as run:
        assert run.outcome.back > 0
        assert_nothing_wrong(run.outcome.verdict)


async def _planted_damage_is_found(run: Endured) -> None:
    """The judge is worth something only if it sees what it is there to see."""
    redis, lead = run.redis, fragment_key(0, "")
    homes = sorted([key.decode().removeprefix(lead) async for key in redis.scan_iter(f"{lead}*")])
    counts = {home: s.fragment.state.count for home, s in (await PartitionStore(redis).load(0, homes)).items()}
    few, *_, gone, many = sorted(homes, key=lambda home: counts[home])
    await redis.delete(lead + gone)
    await redis.copy(lead + many, lead + few, replace=True)
    await redis.delete(*[key async for key in redis.scan_iter(f"{index_key(1, '')}*")])
    first = (await read_topic(run.settings.kafka_url, topic(run.settings.prefix, EVENTS)))[0]
    await redis.delete(tail_key(0))
    await redis.xadd(tail_key(0), {"r": first, "t": 0}, id="1-0")
    run.clients.accepted.add("an event that nobody has")
    found = await run.checker.judge(run.clients)
    assert found.lost["acknowledged events"] == 1
    assert found.lost["events of fragments"] == counts[gone]
    assert found.doubled["events of fragments"] == counts[many] - counts[few] > 0
    assert found.doubled["archived events"] == len(decode_record(first).events)
    assert found.different["order of the archive"] > 0
    assert found.different["fragments"] == 2
    assert found.different["persons"] > 0
    assert found.different["profiles"] > 0
