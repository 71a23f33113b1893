"""`rapport bench --only people`: a town of people with planted identifiers goes in random order through four workers on
Apache Kafka, and who came out is held against who was planted; a second stream, in which nobody was ever linked by
mistake, says what the profiles of those who were unlinked must be. Knows the order of moves; no rule of identity."""

import asyncio
import contextlib
import dataclasses
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from engine.ports import PersonView
from engine.records import partition_of
from infra.bench.bed import Bed, Place, servers_only
from infra.bench.chaos_kafka import Kafka
from infra.bench.figures import Row, Say, Target
from infra.bench.town import Town, town
from infra.clock import now_ms
from infra.kafka_log import KafkaLog, bootstrap
from infra.kafka_log_drained import applied, until
from infra.processes import spawn
from infra.redis_store import RedisPeople, connect
from infra.up import launches

SEEDS = (1, 2, 3)
PEOPLE, MISTAKEN = 10_000, 500
WORKERS = 4
SENT_TOGETHER, READ_TOGETHER = 2_000, 500
JOINED_SECONDS, PATIENCE_SECONDS, PAUSE_SECONDS = 60.0, 900.0, 0.2
NONE = Target(0, most=True)
Views = Mapping[str, PersonView]


class Found(msgspec.Struct, frozen=True):
    """One stream that is worked off: what every id of the town reads as, and how long it took."""

    views: Views
    events: int
    seconds: float


class Compared(msgspec.Struct, frozen=True):
    """What was wrong, as counts: planted people who did not come out, people who were not planted, and profiles that
    are not those of the stream in which nobody was linked by mistake."""

    missing: int
    unplanted: int
    different: int


async def run(place: Place, say: Say, _config: Path) -> list[Row]:
    """Three seeds, with and without the mistaken links. Raises `Absent` where Kafka cannot run and none is named."""
    count, mistaken = (PEOPLE // 10, MISTAKEN // 10) if place.quick else (PEOPLE, MISTAKEN)
    rows: list[Row] = []
    async with _broker(place) as at:
        for seed in SEEDS:
            made = town(seed, count, mistaken)
            say(f"people: seed {seed}, linked by mistake and unlinked")
            found = await streamed(at, made)
            say(f"people: seed {seed}, never linked")
            never = await streamed(at, town(seed, count, mistaken, linked=False))
            rows += _rows(seed, made, (found, never), mistaken)
    return rows


@contextlib.asynccontextmanager
async def _broker(place: Place) -> AsyncIterator[Place]:
    """The place with a broker: the one that runs already, else an Apache Kafka of our own."""
    if place.kafka_url:
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="rapport-people-") as home:
        kafka = Kafka(Path(home))
        server = await kafka.start()
        try:
            yield msgspec.structs.replace(place, kafka_url=kafka.url)
        finally:
            await server.stop()


async def streamed(place: Place, made: Town) -> Found:
    """Everything that happened in the town through four worker processes that share the partitions."""
    async with servers_only(place) as bed:
        launch = launches(bed.settings)["worker"]
        for number in range(WORKERS):
            name = f"worker-{number}"
            bed.running.children[name] = spawn(dataclasses.replace(launch, name=name))
        await _joined(bed)
        began = time.monotonic()
        await _send(bed, made)
        if not await until(applied, bed.settings, PATIENCE_SECONDS):
            raise RuntimeError(f"the stream did not get through the town; {bed.failure()}")
        took = time.monotonic() - began
        return Found(await _read(bed, made), len(made.events), took)


async def _joined(bed: Bed) -> None:
    """Until every worker is a member of the group and has partitions of its own."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap(bed.settings.kafka_url))
    await admin.start()
    try:
        async with asyncio.timeout(JOINED_SECONDS):
            while await _members(admin, f"{bed.settings.prefix}rapport-fold") < WORKERS:
                if bed.failure():
                    raise RuntimeError(bed.failure())
                await asyncio.sleep(PAUSE_SECONDS)
    finally:
        await admin.close()


async def _members(admin: AIOKafkaAdminClient, group: str) -> int:
    """How many members of a settled group were given something to work on; none before the broker knows the group."""
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    except KafkaError:
        return 0
    (about,) = answer.to_object()["groups"]
    return sum(bool(one["member_assignment"]) for one in about["members"]) if about["state"] == "Stable" else 0


async def _send(bed: Bed, made: Town) -> None:
    """In the order they happened to arrive, all partitions at once."""
    settings = bed.settings
    log = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, now_ms, settings.linger_ms)
    await log.start()
    try:
        for start in range(0, len(made.events), SENT_TOGETHER):
            await log.append(made.events[start : start + SENT_TOGETHER])
    finally:
        await log.stop()


async def _read(bed: Bed, made: Town) -> Views:
    """Every id as a reader finds it, once the index stands still: it follows the last claims within moments."""
    redis = connect(bed.settings.redis_url)
    people = RedisPeople(redis, bed.settings.partitions)
    try:
        before: Views = {}
        while before != (now := await _views(people, made)):
            before = now
            await asyncio.sleep(1)
        return now
    finally:
        await redis.aclose()


async def _views(people: RedisPeople, made: Town) -> dict[str, PersonView]:
    found: dict[str, PersonView] = {}
    for start in range(0, len(made.ids), READ_TOGETHER):
        some = made.ids[start : start + READ_TOGETHER]
        found |= zip(some, await people.people(some), strict=True)
    return found


def compared(made: Town, found: Views, never: Views) -> Compared:
    """Who came out against who was planted, and each of them against who they would be had nobody been mistaken."""
    out = {frozenset(view.members) for view in found.values()}
    different = sum(_told(found[i]) != _told(never[i]) for i in made.ids)
    return Compared(len(made.people - out), len(out - made.people), different)


def _told(view: PersonView) -> Any:
    return view.profile_id, view.members, view.profile.state


def meetings(made: Town, partitions: int) -> int:
    """How many e-mail addresses were met for the first time at one moment on more than one partition."""
    first: dict[str, tuple[int, set[int]]] = {}
    for event in made.events:
        for identifier in event.identifiers:
            if identifier.type == "email":
                at, places = first.get(identifier.id, (event.at, set()))
                if event.at < at:
                    at, places = event.at, set()
                if event.at == at:
                    places.add(partition_of(event.home, partitions))
                first[identifier.id] = (at, places)
    return sum(len(places) > 1 for _, places in first.values())


def _rows(seed: int, made: Town, runs: tuple[Found, Found], mistaken: int) -> list[Row]:
    found, never = runs
    result = compared(made, found.views, never.views)
    sizes = Counter(len(person) for person in made.people)
    note = (
        f"{len(made.people):,} people of {len(made.ids):,} identifiers ({min(sizes)} to {max(sizes)} each), of whom"
        f" {mistaken} were linked by mistake and unlinked; {meetings(made, 8):,} addresses came new on several"
        f" partitions at one moment; {found.events:,} events in {found.seconds:.0f} s, never linked {never.events:,} in"
        f" {never.seconds:.0f} s, {WORKERS} workers"
    )
    return [
        Row("people", f"seed {seed}: planted people missing", result.missing, "", target=NONE, note=note),
        Row("people", f"seed {seed}: people who were not planted", result.unplanted, "", target=NONE),
        Row("people", f"seed {seed}: profiles unlike never linked", result.different, "", target=NONE),
    ]
