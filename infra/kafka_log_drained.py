"""Whether everything that came in was worked on: what has to be true before a log that lives in memory may go. Knows
topics, commits and watermarks; stops nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from engine.ports import Unavailable
from engine.records import Position
from infra.kafka_log import cluster_id, ends_of, reading
from infra.redis_store import FAILURES, connect
from infra.redis_store_links import LinkStore
from infra.redis_store_published import PublishedMarks
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
    except (*FAILURES, KafkaError, Unavailable):
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
    """Whether what follows from every notice is in Redis."""
    ends, committed = await _reached(settings, CHANGES, "publish")
    if any(at < end for at, end in zip(committed, ends, strict=True)):
        return False
    redis = connect(settings.redis_url)
    try:
        incarnation = await PartitionStore(redis).incarnation(await cluster_id(settings.kafka_url))
        reached = (await PublishedMarks(redis).read(incarnation)).now
        return all(reached.get(n, 0) >= end for n, end in enumerate(ends))
    finally:
        await redis.aclose()


async def taken(settings: Settings) -> int:
    """How many notices the publisher has taken."""
    return sum((await _reached(settings, CHANGES, "publish"))[1])


async def _committed(settings: Settings, name: str, role: str) -> bool:
    ends, committed = await _reached(settings, name, role)
    return all(at >= end for at, end in zip(committed, ends, strict=True))


async def _ends(settings: Settings, name: str) -> Sequence[int]:
    places = _places(settings, name)
    async with reading(settings.kafka_url) as consumer:
        ends = await ends_of(consumer, places)
    return [ends[place] for place in places]


async def _reached(settings: Settings, name: str, role: str) -> tuple[Sequence[int], Sequence[int]]:
    """Where each partition of a topic ends, and what the group of this role has committed there."""
    places = _places(settings, name)
    async with reading(settings.kafka_url, f"{settings.prefix}rapport-{role}") as consumer:
        ends = await ends_of(consumer, places)
        return [ends[place] for place in places], [int(await consumer.committed(place) or 0) for place in places]


def _places(settings: Settings, name: str) -> list[TopicPartition]:
    count = partition_counts(settings.partitions)[name]
    return [TopicPartition(topic(settings.prefix, name), partition) for partition in range(count)]
