"""How fast the archive is folded again and held against Redis, beside the bare fold of the same events in memory; and
how long one profile of the past takes, beside reading the same rows of the archive without a fold."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from engine.events import Event
from engine.ports import PersonView
from engine.records import MAX_EVENTS, Position, Record, encode, partition_of
from engine.replay import replay
from engine.signals import DAY
from engine.step import Rules
from infra.archive import Archive
from infra.archive_homes import Where, by_home
from infra.archive_tidying import Tidying
from infra.bench.bed import Place, servers_only
from infra.bench.figures import Row, Say, Target, less, more, percentile
from infra.bench.people import ten_each
from infra.clock import now_ms
from infra.collector import look_seldom
from infra.config import load
from infra.history import ArchivedHistory
from infra.rebuild import Comparison
from infra.rebuild_fold import blocks, refolded
from infra.rebuild_run import around_of
from infra.redis_store import RedisClient, RedisPeople, connect
from infra.redis_store_links import RedisIdentities
from infra.redis_store_replay import ReplayStore
from infra.redis_store_stream import TailEntry
from infra.settings import Settings

DAYS = 10
LOOKS = 50
RATE = Target(15_000)
FOLD_IS = "engine.replay of the same events, decoded and in memory"
Rates = tuple[float, float]
READ_IS = "the same rows read from the archive and decoded, without identity, fold or consent"


async def run(place: Place, say: Say, _config: Path) -> list[Row]:
    """Archive some days of events, put into Redis what they fold to, then replay and look back."""
    events = 20_000 if place.quick else 300_000
    say("replay: an archive to fold again")
    async with servers_only(place) as bed:
        with tempfile.TemporaryDirectory(prefix="rapport-bench-archive-") as home:
            settings = bed.settings.model_copy(update={"archive_url": home})
            rules = Rules(identity=load(settings.config_dir).identity)
            made = list(islice(ten_each(rules.identity, events, now_ms()), events))
            await asyncio.to_thread(_archive, settings, made)
            # as the command does, and for the floor alike
            look_seldom()
            floor = await asyncio.to_thread(_folded, made, rules)
            redis = connect(settings.redis_url)
            try:
                await _serve(settings, redis)
                say("replay: folding")
                rows = await _replayed(settings, redis, len(made))
                say("replay: looking back")
                past = await _looked_back(settings, redis, sorted({one.home for one in made}))
                return [*map(more, rows, floor), past]
            finally:
                await redis.aclose()


def _archive(settings: Settings, events: list[Event]) -> None:
    """As the archiver leaves it: days, sorted when they are over. A person's events lie on many of them."""
    archive, now, offsets = Archive(settings.archive), now_ms(), dict[int, int]()
    for day in range(DAYS):
        entries: list[TailEntry] = []
        for partition, batch in _records(events[day::DAYS], settings.partitions):
            offset = offsets[partition] = offsets.get(partition, -1) + 1
            position = Position(1, partition, offset)
            entries.append(TailEntry(position, now - (DAYS - day) * DAY, encode(Record("1", now, batch))))
        archive.append(entries)
    Tidying(0).tidy(archive.tables, now)


def _records(events: list[Event], partitions: int) -> Iterator[tuple[int, tuple[Event, ...]]]:
    parts: dict[int, list[Event]] = {}
    for event in events:
        parts.setdefault(partition_of(event.home, partitions), []).append(event)
    for partition, some in sorted(parts.items()):
        for start in range(0, len(some), MAX_EVENTS):
            yield partition, tuple(some[start : start + MAX_EVENTS])


def _folded(events: list[Event], rules: Rules) -> Rates:
    began = _clocks()
    replay(events, rules)
    return _rates(len(events), began)


def _clocks() -> Rates:
    return time.perf_counter(), time.process_time()


def _rates(events: int, began: Rates) -> Rates:
    """Events a second by the wall's clock, and by the processor time of this process."""
    wall, busy = _clocks()
    return events / (wall - began[0]), events / (busy - began[1])


async def _serve(settings: Settings, redis: RedisClient) -> None:
    """What workers would have written, so that there is something to compare with."""
    store = ReplayStore(redis, settings.partitions)
    rules = around_of(settings, store).rules
    for block in blocks(refolded(settings.archive, Where(), [], rules)):
        await store.put({home: encode(stored) for home, stored, _ in block if stored is not None})


async def _replayed(settings: Settings, redis: RedisClient, events: int) -> list[Row]:
    store = ReplayStore(redis, settings.partitions)
    began = _clocks()
    found = await Comparison(around_of(settings, store)).run(lambda _done, _of: None)
    wall, busy = _rates(events, began)
    equal = all(one.equal for one in found) and sum(one.events for one in found) == events
    if not equal:
        raise RuntimeError("the replay differs from what it was made of; see `rapport replay`")
    note = "read, folded and compared with the stored fragments, one process; all digests equal"
    return [
        Row("replay", "archive folded again", wall, "events/s", target=RATE, beside=FOLD_IS, note=note),
        Row("replay", "archive folded again, by processor time", busy, "events/s", target=RATE, beside=FOLD_IS),
    ]


async def _looked_back(settings: Settings, redis: RedisClient, homes: list[str]) -> Row:
    people, identities = RedisPeople(redis, settings.partitions), RedisIdentities(redis, settings.partitions)
    store, at = ReplayStore(redis, settings.partitions), now_ms() - DAYS * DAY // 2
    rules = around_of(settings, store).rules
    past = ArchivedHistory(settings.archive, (people, identities), store, lambda: rules)
    ours, bare = [], []
    for home in homes[:: max(len(homes) // LOOKS, 1)]:
        began = time.perf_counter()
        found: PersonView = await past.person_at(home, at)
        ours.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        rows = await asyncio.to_thread(
            lambda one: list(by_home(settings.archive, Where(homes=(one,), until=at), [])), home
        )
        bare.append(1000 * (time.perf_counter() - began))
        if found.known != bool(rows):
            raise RuntimeError("a profile of the past is not where its rows are")
    note = f"p50 {percentile(ours, 50):.0f} ms; {DAYS} days of which half lie before the moment asked for"
    row = Row("replay", "profile of the past, p99", percentile(ours, 99), "ms", beside=READ_IS, note=note)
    return less(row, percentile(bare, 99))
