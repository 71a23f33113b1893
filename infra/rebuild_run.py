"""One replay from beginning to end over an installation's servers: opens them, compares, writes or switches, and says
what was found. The only part of a rebuild that knows settings."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import msgspec

from engine.step import Rules
from infra.config import load
from infra.kafka_log import KafkaLog
from infra.rebuild import Around, Comparison, PartitionFound, Progress
from infra.rebuild_finish import finish_into
from infra.rebuild_people import PeopleFound, compare_people
from infra.rebuild_switch import Announcer, Written, write_into
from infra.redis_store import RedisClient, connect
from infra.redis_store_replay import ReplayStore
from infra.redis_store_rules import FEATURES, RulesRecord, rules_now, unlike
from infra.settings import Settings

# how long a running worker may take to derive identity again
LOOKS, PAUSE_S = 60, 1.0


class Asked(msgspec.Struct, frozen=True):
    """Which partitions (none named: all), a Redis to write into, whether to bring that one up to the live one, and
    whether to put in place what differs."""

    partitions: tuple[int, ...] = ()
    into: str = ""
    switch: bool = False
    finish: bool = False


class Replayed(msgspec.Struct, frozen=True):
    """The whole report. `seconds` is the time from the first read to the last comparison, with the `events` folded."""

    partitions: tuple[PartitionFound, ...]
    people: PeopleFound | None
    written: Written | None
    events: int
    seconds: float

    @property
    def equal(self) -> bool:
        return all(one.equal for one in self.partitions) and (self.people is None or self.people.equal)

    @property
    def replaced(self) -> int:
        return sum(one.replaced for one in self.partitions)

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0

    def named(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """What to look at, by ids only."""
        for one in self.partitions:
            if one.different:
                yield f"partition {one.partition} differs, first:", one.different
            if one.unsettled:
                yield f"partition {one.partition} changed at every look:", one.unsettled
        if self.people is not None and self.people.different:
            yield "in another company, first:", self.people.different


def around_of(settings: Settings, store: ReplayStore, partitions: tuple[int, ...] = ()) -> Around:
    """What a replay of this installation works on. Raises `ValueError` for a partition that is not there."""
    wrong = [p for p in partitions if not 0 <= p < settings.partitions]
    if wrong:
        raise ValueError(f"there is no partition {wrong[0]}; they are 0 to {settings.partitions - 1}")
    wanted = tuple(sorted(set(partitions))) or tuple(range(settings.partitions))
    return Around(
        settings.archive, store, Rules(identity=load(settings.config_dir).identity), wanted, settings.partitions
    )


async def replay_now(settings: Settings, asked: Asked, clock: Callable[[], float], progress: Progress) -> Replayed:
    """Replay an installation; `clock` gives seconds. Raises `ArchiveLacks`, `NotEmpty`,
    `StillWorking`, `Unavailable`, `ValueError`."""
    if asked.into and (asked.switch or asked.partitions):
        raise ValueError("--into writes everything elsewhere: it goes with neither --switch nor --partition")
    if asked.finish and not asked.into:
        raise ValueError("--finish goes with --into: it brings that Redis up to the live one")
    redis = connect(settings.redis_url)
    try:
        around = around_of(settings, ReplayStore(redis, settings.partitions), asked.partitions)
        if asked.into:
            return await _elsewhere(around, asked, redis, (clock, progress))
        if not asked.switch:
            return await _compared(around, None, (clock, progress))
        return await _switched(settings, around, RulesRecord(redis), (clock, progress))
    finally:
        await redis.aclose()


async def _switched(
    settings: Settings, around: Around, record: RulesRecord, watched: tuple[Callable[[], float], Progress]
) -> Replayed:
    """Put in place what differs, and everything where features are others: their rows follow from newer fragments only.
    What is whole and equal afterwards was made by the rules of today, and is recorded so."""
    now = rules_now(around.rules.identity)
    renewing = FEATURES in unlike(await record.made(), now)
    async with _announcer(settings) as announcer:
        found = await _compared(msgspec.structs.replace(around, renewing=renewing), announcer, watched)
    if found.equal and found.people is not None:
        await record.replace(now)
    return found


async def _compared(
    around: Around, announcer: Announcer | None, watched: tuple[Callable[[], float], Progress]
) -> Replayed:
    clock, progress = watched
    began = clock()
    found = tuple(await Comparison(around, announcer.tell if announcer is not None else None).run(progress))
    took = clock() - began
    people = None
    if len(around.partitions) == around.total:
        people, claims = await compare_people(around)
        if announcer is not None and claims:
            await announcer.relate(claims)
            people = await _related_again(around, people)
    return Replayed(found, people, None, sum(one.events for one in found), took)


async def _related_again(around: Around, people: PeopleFound) -> PeopleFound:
    """Wait until the one writer of identity has derived everybody again; it must be running."""
    for _ in range(LOOKS):
        await asyncio.sleep(PAUSE_S)
        people, _ = await compare_people(around)
        if people.equal:
            break
    return people


async def _elsewhere(
    around: Around, asked: Asked, live: RedisClient, watched: tuple[Callable[[], float], Progress]
) -> Replayed:
    clock, progress = watched
    began, redis = clock(), connect(asked.into)
    try:
        if asked.finish:
            written = await finish_into(around, live, redis, progress)
        else:
            written = await write_into(around, ReplayStore(redis, around.total), progress)
    finally:
        await redis.aclose()
    return Replayed((), None, written, written.events, clock() - began)


@asynccontextmanager
async def _announcer(settings: Settings) -> AsyncIterator[Announcer]:
    log = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, lambda: 0)
    await log.start()
    try:
        yield Announcer(log, settings)
    finally:
        await log.stop()
