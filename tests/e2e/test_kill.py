"""SIGKILL of the worker in the middle of a replay, ten times at random points: nothing is lost, nothing is doubled.
Proven against a replay of the accepted events, on the embedded servers and on Apache Kafka with redis-server."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from engine.events import Event
from engine.profile import Fragment
from engine.replay import replay
from engine.step import Rules
from infra.archive import Archive
from infra.archiver import Archiver
from infra.kafka_log import describe_topics
from infra.processes import RunningServer
from infra.redis_store import connect
from infra.settings import Settings
from infra.stream.shell import EXIT_CODE
from infra.wiring import prepare
from tests.e2e.fleet import SECRET, START, Fleet, accepted
from tests.engine.likeness import assert_like_fragments
from tests.servers import database

# more than a second of work, so that a kill is in the middle of it also where this process is slow to strike
EVENTS, TOGETHER, KILLS = 30_000, 60, 10
REAL = pytest.param(("real_kafka", "real_redis"), marks=[pytest.mark.kafka, pytest.mark.redis], id="real")
EMBEDDED = pytest.param(("embedded_broker", "embedded_redis"), id="embedded")
pytestmark = pytest.mark.slow


@pytest.fixture(params=[EMBEDDED, REAL])
def servers(request: pytest.FixtureRequest) -> tuple[RunningServer, RunningServer]:
    """A broker and a Redis: both embedded, or both real."""
    broker, redis = (request.getfixturevalue(name) for name in request.param)
    return broker, redis


@pytest.fixture
async def fleet(servers: tuple[RunningServer, RunningServer], tmp_path: Path) -> AsyncIterator[Fleet]:
    broker, server = servers
    settings = Settings(
        kafka_url=broker.url,
        redis_url=database(server.url, 12),
        data_dir=tmp_path,
        prefix=f"kill-{uuid4().hex[:8]}-",
        partitions=4,
        secret=SECRET.decode(),
        # a broker waits so long for a member that was killed, and nobody else is going to join
        rebalance_seconds=1.0,
    )
    redis = connect(settings.redis_url)
    await redis.flushdb()
    await redis.aclose()
    await prepare(settings)
    made = Fleet(settings)
    yield made
    await made.close()


async def test_ten_kills_lose_nothing_and_double_nothing(fleet: Fleet) -> None:
    draw, events = Random(20), accepted(EVENTS, seed=20)
    await fleet.append(events, TOGETHER)
    total = await _records(fleet)
    done = 0
    for left in range(KILLS, 0, -1):
        worker = fleet.start()
        await fleet.until_applied(done + draw.randint(1, (total - done) // (left + 1)))
        worker.process.kill()
        worker.process.wait()
        done = await fleet.applied()
        assert done < total
        await _archive(fleet, trimmed=draw.random() < 0.5)
    fleet.start()
    assert await fleet.until_applied(total) == total
    await fleet.until_linked()
    assert await fleet.counted("skipped") > 0
    await _is_what_was_accepted(fleet, events)


async def test_a_stopped_worker_that_comes_back_is_refused(fleet: Fleet) -> None:
    events = accepted(EVENTS, seed=21)
    await fleet.append(events, TOGETHER)
    total = await _records(fleet)
    zombie = fleet.start()
    await fleet.until_applied(total // 4)
    os.kill(zombie.pid, signal.SIGSTOP)
    stood = await fleet.applied()
    assert stood < total
    fleet.start()
    await fleet.until_applied(total)
    os.kill(zombie.pid, signal.SIGCONT)
    assert await asyncio.to_thread(zombie.process.wait, 30) == EXIT_CODE
    assert await fleet.counted("refused") > 0
    await fleet.until_linked()
    await _is_what_was_accepted(fleet, events)


async def _records(fleet: Fleet) -> int:
    rows = await describe_topics(fleet.settings.kafka_url, fleet.settings.prefix)
    return next(records for name, _, records in rows if name.endswith("events"))


async def _archive(fleet: Fleet, trimmed: bool) -> None:
    """Drain the tails; `trimmed` False is an archiver that died before it forgot what it had archived."""
    if trimmed:
        await Archiver(fleet.settings, lambda: START).round()
        return
    entries = [entry for p in range(fleet.settings.partitions) for entry in await fleet.store.tail(p, 100)]
    await asyncio.to_thread(Archive(fleet.settings.archive).append, entries)


async def _is_what_was_accepted(fleet: Fleet, events: list[Event]) -> None:
    await Archiver(fleet.settings, lambda: START).round()
    kept = await fleet.kept()
    assert sorted(event.message_id for _, _, event in kept) == sorted(event.message_id for event in events)
    for partition in range(fleet.settings.partitions):
        offsets = list(dict.fromkeys(p.offset for p, _, _ in kept if p.partition == partition))
        assert offsets == list(range(len(offsets)))
    folded = await _stored(fleet, events)
    # what was applied, in applied order: equal to the last bit; what was accepted, in any order: alike (law 3)
    assert folded == replay((event for _, _, event in kept), Rules())
    for home, fragment in replay(events, Rules()).items():
        assert_like_fragments(folded[home], fragment, [event for event in events if event.home == home])
    await _everybody_is_linked(fleet, events)


async def _stored(fleet: Fleet, events: list[Event]) -> dict[str, Fragment]:
    homes = sorted({event.home for event in events})
    views = await fleet.people.people(homes)
    found = {s.fragment.id: s.fragment for view in views for s in view.stored}
    return {home: found[home] for home in homes}


async def _everybody_is_linked(fleet: Fleet, events: list[Event]) -> None:
    seen: dict[str, set[str]] = {}
    for event in events:
        seen.setdefault(event.home, set()).update(i.id for i in event.identifiers)
    views = await fleet.people.people(sorted(seen))
    assert {view.profile_id: set(view.members) for view in views} == {h: m | {h} for h, m in seen.items()}
