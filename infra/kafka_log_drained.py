"""Whether everything that came in was worked on: what has to be true before a log that lives in memory may go. Knows
topics, commits and watermarks; stops nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from engine.records import Position
from infra.kafka_log import bootstrap, cluster_id
from infra.redis_store import FAILURES, connect
from infra.redis_store_links import LinkStore
from infra.redis_store_stream import PartitionStore
from infra.settings import Settings
from infra.topics import CHANGES, EVENTS, INBOX, LINKS, partition_counts, topic

PAUSE_SECONDS = 0.1


async def until(done: Callable[[Settings], Awaitable[bool]], settings: Settings, patience_s: float) -> bool:
    """Whether `done` came true in time; a server that does not answer will not finish anything either."""
    try:
        async with asyncio.timeout(patience_s):
            while True:
                if await done(settings):
                    return True
                await asyncio.sleep(PAUSE_SECONDS)
    except (*FAILURES, KafkaError):
        return False


async def applied(settings: Settings) -> bool:
    """Whether the worker has applied the inbox, the events and the links that follow from them."""
    redis = connect(settings.redis_url)
    store, links = PartitionStore(redis), LinkStore(redis, settings.partitions)
    partitions = range(settings.partitions)
    try:
        if not await _committed(settings, INBOX, "fold"):
            return False
        incarnation = await store.incarnation(await cluster_id(settings.kafka_url))
        ends = await _ends(settings, EVENTS)
        marks = [await store.watermark(p) for p in partitions]
        behind = [p for p in partitions if ends[p] and marks[p] < Position(incarnation, p, ends[p] - 1)]
        if behind or any([await store.outbox(p, count=1) for p in partitions]):
            return False
        (end,), mark = await _ends(settings, LINKS), (await links.mark()).position
        return end == 0 or mark == Position(incarnation, 0, end - 1)
    finally:
        await redis.aclose()


async def published(settings: Settings) -> bool:
    """Whether the publisher has taken every notice."""
    return await _committed(settings, CHANGES, "publish")


async def taken(settings: Settings) -> int:
    """How many notices the publisher has taken."""
    async with _Reader(settings, CHANGES, f"{settings.prefix}rapport-publish") as reader:
        return sum([await reader.committed(n) for n in range(reader.count)])


async def _committed(settings: Settings, name: str, role: str) -> bool:
    async with _Reader(settings, name, f"{settings.prefix}rapport-{role}") as reader:
        ends = await reader.ends()
        return all([end == 0 or await reader.committed(n) >= end for n, end in enumerate(ends)])


async def _ends(settings: Settings, name: str) -> Sequence[int]:
    async with _Reader(settings, name, None) as reader:
        return await reader.ends()


class _Reader:
    """Looks at one topic, on behalf of a group it does not join."""

    def __init__(self, settings: Settings, name: str, group: str | None) -> None:
        self.count = partition_counts(settings.partitions)[name]
        self._places = [TopicPartition(topic(settings.prefix, name), p) for p in range(self.count)]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap(settings.kafka_url), group_id=group, enable_auto_commit=False
        )

    async def __aenter__(self) -> "_Reader":
        await self._consumer.start()
        self._consumer.assign(self._places)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def ends(self) -> list[int]:
        found = await self._consumer.end_offsets(self._places)
        return [int(found[place]) for place in self._places]

    async def committed(self, partition: int) -> int:
        return int(await self._consumer.committed(self._places[partition]) or 0)
