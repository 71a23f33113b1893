"""How many events a second the stream folds and archives: a backlog is appended while nothing runs, then our processes
start and the clock runs from the first applied record until nothing waits for the archive."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from engine.events import Event
from engine.identifiers import IdentityRules
from infra.bench.bed import Bed, Place, make_topic, servers_only
from infra.bench.figures import Row, Say, Target, more
from infra.bench.people import each_another, message, ten_each
from infra.clock import now_ms
from infra.config import load
from infra.kafka_log import KafkaLog, bootstrap, ends_of, reading
from infra.redis_store import connect
from infra.redis_store_stream import PartitionStore

APPENDED_TOGETHER = 40_000
POLL_SECONDS = 0.05
LONGEST_SECONDS = 600.0
EACH = Target(10_000)
TEN = Target(25_000)
FLOOR_IS = "aiokafka getmany + orjson + one pipelined HSET per single-event record"
Made = Callable[[IdentityRules, int, int], Iterator[Event]]


class Drained(msgspec.Struct, frozen=True):
    """Seconds until everything was folded, archived and published, each from the first applied record; and how many
    profiles were published when the archive was complete."""

    folded: float
    archived: float
    published: float
    published_by_then: int


async def run(place: Place, say: Say) -> list[Row]:
    events = 20_000 if place.quick else 200_000
    say("stream: the floor")
    async with servers_only(place) as bed:
        floor = await _floor(bed, events // 4)
    rows: list[Row] = []
    for name, made, target, profiles in (
        ("every event on another profile", each_another, EACH, events),
        ("ten events per profile and batch", ten_each, TEN, events // 10),
    ):
        say(f"stream: {name}")
        async with servers_only(place) as bed:
            backlog = made(_rules(bed), events, now_ms())
            rows += _rows(name, (events, profiles), await _measured(bed, backlog, profiles), target)
        rows[-2] = more(rows[-2], floor)
    return rows


def _rules(bed: Bed) -> IdentityRules:
    return load(bed.settings.config_dir).identity


def _rows(name: str, sizes: tuple[int, int], drained: Drained, target: Target) -> list[Row]:
    events, profiles = sizes
    waiting = profiles - drained.published_by_then
    note = f"folded alone at {events / drained.folded:,.0f} events/s"
    behind = (
        f"{waiting:,} of {profiles:,} profiles still to publish when the archive was complete; published after"
        f" {drained.published:.1f} s, folded after {drained.folded:.1f} s, archived after {drained.archived:.1f} s"
    )
    return [
        Row("stream", name, events / drained.archived, "events/s", target=target, beside=FLOOR_IS, note=note),
        Row("stream", f"{name}: published", profiles / drained.published, "profiles/s", note=behind),
    ]


async def append(bed: Bed, events: Iterable[Event]) -> int:
    """Append so many at once that records are full; returns how many records came to be."""
    settings = bed.settings
    log = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, now_ms)
    await log.start()
    source = iter(events)
    while together := list(islice(source, APPENDED_TOGETHER)):
        await log.append(together)
    await log.stop()
    return await _records(settings)


async def _records(settings: Any) -> int:
    async with reading(settings.kafka_url) as consumer:
        places = [TopicPartition(f"{settings.prefix}events", p) for p in range(settings.partitions)]
        return sum((await ends_of(consumer, places)).values())


async def _measured(bed: Bed, events: Iterable[Event], profiles: int) -> Drained:
    records = await append(bed, events)
    redis = connect(bed.settings.redis_url)
    try:
        before = int(await redis.dbsize())
        bed.launch(("worker", "archiver", "publisher"))
        return await _watched(bed, redis, (records, before, profiles))
    finally:
        await redis.aclose()


async def _watched(bed: Bed, redis: Any, expected: tuple[int, int, int]) -> Drained:
    records, before, profiles = expected
    store, partitions = PartitionStore(redis), range(bed.settings.partitions)
    began = folded = archived = 0.0
    by_then = 0
    deadline = time.perf_counter() + LONGEST_SECONDS
    while time.perf_counter() < deadline:
        now = time.perf_counter()
        marks = [await store.watermark(p) for p in partitions]
        applied = sum(mark.offset + 1 for mark in marks)
        # every profile is a fragment and, once published, a feature row; all other keys are a handful
        published = max(int(await redis.dbsize()) - before - profiles, 0) if applied == records else 0
        began = began or (now if applied else 0.0)
        if applied == records and not folded:
            folded = now
        if folded and not archived and not sum([await store.tail_length(p) for p in partitions]):
            archived, by_then = now, min(published, profiles)
        if archived and published >= profiles:
            return Drained(folded - began, archived - began, now - began, by_then)
        if bed.failure():
            raise RuntimeError(bed.failure())
        await asyncio.sleep(POLL_SECONDS)
    raise RuntimeError("the stream did not get through its backlog in ten minutes")


async def _floor(bed: Bed, count: int) -> float:
    """Events a second without Faust, fold or archive: one JSON event per record, one HSET each."""
    named = await make_topic(bed.settings, "floor")
    await _produce(bed, named, [orjson.dumps(message("page", number, number)) for number in range(count)])
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap(bed.settings.kafka_url), auto_offset_reset="earliest")
    redis = connect(bed.settings.redis_url)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(named, p) for p in range(bed.settings.partitions)])
        began, seen = time.perf_counter(), 0
        while seen < count:
            pipe = redis.pipeline(transaction=False)
            for messages in (await consumer.getmany(timeout_ms=200, max_records=500)).values():
                for one in messages:
                    read = orjson.loads(one.value)
                    pipe.hset(f"floor:{read['userId']}", "event", one.value)
                seen += len(messages)
            await pipe.execute()
        return count / (time.perf_counter() - began)
    finally:
        await consumer.stop()
        await redis.aclose()


async def _produce(bed: Bed, named: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap(bed.settings.kafka_url), linger_ms=20, max_batch_size=1 << 19
    )
    await producer.start()
    try:
        for start in range(0, len(values), 5000):
            sent = [
                await producer.send(named, value, partition=number % bed.settings.partitions)
                for number, value in enumerate(values[start : start + 5000])
            ]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()
