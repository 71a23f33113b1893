"""Whether the stream slows down as an installation grows: the same events, about the same people, where there are few
profiles and where there are many. The crowd is written through the stores' own code; the stream is the real one."""

import asyncio
import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from engine.consent import resolve, reveal
from engine.events import Event
from engine.identifiers import IdentityRules
from engine.ports import Stored
from engine.profile import Fragment, Known, merge
from engine.records import Position
from engine.step import Rules, advance
from features.compute import profile_values
from infra.bench.bed import Bed, Place, servers_only
from infra.bench.figures import Row, Say, Target, less, more
from infra.bench.people import event, identifier, ten_each
from infra.bench.stream import POLL_SECONDS, append
from infra.clock import now_ms
from infra.config import Configuration, load
from infra.fragment_bytes import pack
from infra.redis_store import connect
from infra.redis_store_features import ProfileRow, RedisFeatures
from infra.redis_store_replay import ReplayStore
from infra.redis_store_stream import PartitionStore

FEW, MANY, EVENTS = 10_000, 1_000_000, 100_000
MODELS = 50
TOGETHER = 1_000
HOUR_MS = 3_600_000
LONGEST_SECONDS = 600.0
# numbers of events that made the crowd, so that no event of the stream is one of them
LONG_AGO = 10**9
RATIO = Target(0.8)
BESIDE = "the same in the small installation"


class Taken(msgspec.Struct, frozen=True):
    """Events a second, and microseconds of processor time an event."""

    rate: float
    micros: float
    note: str


class Model(msgspec.Struct, frozen=True):
    """Somebody of ten events, whom others of the crowd are like."""

    stored: Stored
    row: ProfileRow


async def run(place: Place, say: Say, config: Path) -> list[Row]:
    """Events a second in both installations, and the processor time that an event takes there."""
    sizes = (FEW // 10, MANY // 10) if place.quick else (FEW, MANY)
    events = EVENTS // 5 if place.quick else EVENTS
    few, many = [await _in_one_of(place, say, config, (size, sizes[0], events)) for size in sizes]
    small, large = (f"{size:,} profiles, the same {events:,} events" for size in sizes)
    faster = more(Row("crowd", large, many.rate, "events/s", ratio_target=RATIO, beside=BESIDE), few.rate)
    rows = [Row("crowd", small, few.rate, "events/s"), faster]
    if few.micros and many.micros:
        # what neighbours on the machine take does not count here
        rows.append(Row("crowd", f"{small}: processor", few.micros, "µs/event", note=few.note))
        cheaper = Row("crowd", f"{large}: processor", many.micros, "µs/event", ratio_target=RATIO, note=many.note)
        rows.append(less(cheaper, few.micros))
    return rows


async def _in_one_of(place: Place, say: Say, config: Path, sizes: tuple[int, int, int]) -> Taken:
    """What so many events about some of these people take."""
    profiles, some, events = sizes
    async with servers_only(place, config) as bed:
        configuration = load(config)
        redis = connect(bed.settings.redis_url)
        try:
            await _fill(bed, redis, configuration, (profiles, say))
            say(f"crowd: {events:,} events about {some:,} of {profiles:,} people")
            records = await append(bed, _about(configuration.identity, events, some, now_ms()))
            return await _measured(bed, redis, records, events)
        finally:
            await redis.aclose()


def _about(rules: IdentityRules, events: int, people: int, at: int) -> Iterator[Event]:
    """One event after the other, each about the next of so many people."""
    return (event(identifier(rules, number % people), number, at) for number in range(events))


async def _fill(bed: Bed, redis: Any, configuration: Configuration, wanted: tuple[int, Say]) -> None:
    """Fragments and feature rows of so many people of ten events."""
    profiles, say = wanted
    store, features = ReplayStore(redis, bed.settings.partitions), RedisFeatures(redis, bed.settings.prefix)
    models = _models(configuration, now_ms() - HOUR_MS)
    if not bed.external_redis:
        await redis.config_set("appendonly", "no")
    crowd = ((identifier(configuration.identity, n), models[n % MODELS]) for n in range(profiles))
    done = 0
    while together := list(islice(crowd, TOGETHER)):
        await store.put({who.id: pack(_like(model.stored, who)) for who, model in together})
        await features.write_profiles([model.row._replace(profile_id=who.id) for who, model in together])
        done += len(together)
        if done % 50_000 == 0:
            say(f"crowd: {done:,} of {profiles:,} profiles are there")
    if not bed.external_redis:
        await redis.config_set("appendonly", "yes")
        await _rewritten(redis)


async def _rewritten(redis: Any) -> None:
    """Until the append-only file holds everybody and is written to as always."""
    while True:
        said = await redis.info("persistence")
        if not said["aof_rewrite_in_progress"] and not said["aof_rewrite_scheduled"]:
            return
        await asyncio.sleep(POLL_SECONDS)


def _models(configuration: Configuration, at: int) -> list[Model]:
    rules, purposes = Rules(identity=configuration.identity), configuration.purposes
    events = [
        msgspec.structs.replace(one, message_id=f"bench-{LONG_AGO + number:012d}")
        for number, one in enumerate(ten_each(configuration.identity, 10 * MODELS, at))
    ]
    models = []
    for start in range(0, len(events), 10):
        fragment = Fragment(events[start].home)
        for one in events[start : start + 10]:
            fragment = advance(fragment, one, rules).fragment
        visible = reveal(merge([fragment]), resolve({}, purposes, "US"), tuple(purposes.purposes), purposes)
        row = ProfileRow(fragment.id, (0, 0, 10), at, profile_values(visible, at))
        models.append(Model(Stored(Position(0, 0, -1), at, fragment), row))
    return models


def _like(stored: Stored, who: Any) -> Stored:
    """The model's life, lived by somebody else."""
    known = {who.id: Known(who.type, who.value, stored.fragment.state.first)}
    state = msgspec.structs.replace(stored.fragment.state, identifiers=known)
    fragment = msgspec.structs.replace(stored.fragment, id=who.id, state=state)
    return msgspec.structs.replace(stored, fragment=fragment)


async def _measured(bed: Bed, redis: Any, records: int, events: int) -> Taken:
    """From the first applied record until all are folded; archiving waits for whoever else is at work."""
    store, partitions = PartitionStore(redis), range(bed.settings.partitions)
    bed.launch(("worker", "archiver", "publisher"))
    began = first = served = worked = 0.0
    deadline = time.perf_counter() + LONGEST_SECONDS
    while (now := time.perf_counter()) < deadline:
        applied = sum([(await store.watermark(p)).offset + 1 for p in partitions])
        if applied and not began:
            began, first = now, applied
            served, worked = await _served(redis), _worked(bed)
        if applied == records:
            return _taken(
                events * (1 - first / records), now - began, (await _served(redis) - served, _worked(bed) - worked)
            )
        if bed.failure():
            raise RuntimeError(bed.failure())
        await asyncio.sleep(POLL_SECONDS)
    raise RuntimeError("the stream did not get through its backlog in ten minutes")


def _taken(events: float, seconds: float, processor: tuple[float, float]) -> Taken:
    server, worker = (spent / events * 1e6 for spent in processor)
    note = f"worker {worker:.0f}, Redis {server:.0f}, which also serves publisher and archiver"
    return Taken(events / seconds, server + worker if worker else 0.0, note)


async def _served(redis: Any) -> float:
    """Seconds of processor time that Redis has used."""
    said = await redis.info("cpu")
    return float(said["used_cpu_sys"]) + float(said["used_cpu_user"])


def _worked(bed: Bed) -> float:
    """Seconds of processor time that the worker has used; 0 where the system does not say."""
    try:
        said = Path(f"/proc/{bed.running.children['worker'].pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    return sum(map(int, said.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")
