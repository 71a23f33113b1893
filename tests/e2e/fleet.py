"""Fold workers as processes of their own on a broker and a Redis that a test chooses: started, killed, stopped and
watched. What they must have done is computed from the events that were accepted."""

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from engine.events import Arrival, Event, normalise
from engine.identifiers import IdentityRules
from engine.records import Position
from infra.archive import iterate
from infra.kafka_log import KafkaLog
from infra.processes import RunningServer, spawn
from infra.redis_store import RedisPeople, connect
from infra.redis_store_links import LinkStore
from infra.redis_store_stream import PartitionStore
from infra.settings import Settings
from infra.up import launches

SECRET = b"a secret of these tests"
START = 1_790_000_000_000
PATIENCE_S = 60.0


def accepted(count: int, seed: int) -> list[Event]:
    """Events of a hundred people, some with cookies and addresses of their own, out of order and of several kinds."""
    draw, rules = Random(seed), IdentityRules()
    events = []
    for number in range(count):
        user = f"u{draw.randrange(100)}"
        raw: dict[str, Any] = {"userId": user, "messageId": f"m{number}", "type": "track", "event": "Order Completed"}
        raw |= {"properties": {"revenue": draw.randrange(10_000) / 100, "currency": "USD", "category": "tv"}}
        if draw.random() < 0.2:
            named = {"email": f"{user}@example.org", "plan": f"p{draw.randrange(5)}"}
            raw |= {"type": "identify", "anonymousId": f"{user}-{draw.randrange(3)}", "traits": named}
        elif draw.random() < 0.2:
            raw |= {"event": "Product Viewed"}
        received = START + number
        event = normalise(raw, Arrival(SECRET, "web", received), rules, "")
        events.append(msgspec.structs.replace(event, at=received - draw.randrange(10**9)))
    return events


@dataclass
class Fleet:
    """Workers over one installation, the newest last."""

    settings: Settings
    workers: list[RunningServer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.redis = connect(self.settings.redis_url)
        self.store = PartitionStore(self.redis)
        self.links = LinkStore(self.redis, self.settings.partitions)
        self.people = RedisPeople(self.redis, self.settings.partitions)

    def start(self) -> RunningServer:
        worker = spawn(launches(self.settings)["worker"])
        self.workers.append(worker)
        return worker

    async def close(self) -> None:
        for worker in self.workers:
            if worker.alive():
                os.kill(worker.pid, signal.SIGCONT)
                worker.process.kill()
                worker.process.wait()
        await self.redis.aclose()

    async def append(self, events: Sequence[Event], together: int) -> None:
        """Accept events as the gateway does, so many at a time."""
        log = KafkaLog(self.settings.kafka_url, self.settings.prefix, self.settings.partitions, lambda: START, 0)
        await log.start()
        for start in range(0, len(events), together):
            await log.append(events[start : start + together])
        await log.stop()

    async def applied(self) -> int:
        """How many records all partitions have applied."""
        marks = await asyncio.gather(*(self.store.watermark(p) for p in range(self.settings.partitions)))
        return sum(mark.offset + 1 for mark in marks)

    async def until_applied(self, records: int) -> int:
        """Wait until so many records are applied; returns how many are."""
        async with asyncio.timeout(PATIENCE_S):
            while (done := await self.applied()) < records:
                self._look()
                await asyncio.sleep(0)
        return done

    def _look(self) -> None:
        if self.workers and not any(worker.alive() for worker in self.workers):
            raise AssertionError(f"no worker is left: {self.workers[-1].last_words()}")

    async def until_linked(self) -> None:
        """Wait until every link claim is recorded."""
        async with asyncio.timeout(PATIENCE_S):
            while any([await self.store.outbox(p, count=1) for p in range(self.settings.partitions)]):
                self._look()
                await asyncio.sleep(0.05)

    async def counted(self, name: str) -> int:
        counters = [await self.store.counters(p) for p in range(self.settings.partitions)]
        return sum(counter[name] for counter in counters)

    async def kept(self) -> list[tuple[Position, int, Event]]:
        """Archive and tail together: everything applied as (position, index, event), per partition in order."""
        rows = [(position, index, event) for position, index, _, event in iterate(self.settings.archive)]
        for partition in range(self.settings.partitions):
            for entry in await self.store.tail(partition, 1 << 30):
                rows += [(entry.position, index, event) for index, event in enumerate(_events(entry.raw))]
        return sorted(rows, key=lambda row: (row[0], row[1]))


def _events(raw: bytes) -> Iterator[Event]:
    yield from msgspec.msgpack.decode(raw, type=tuple[str, int, tuple[Event, ...]])[2]
