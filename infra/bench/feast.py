"""What writing and reading feature rows costs beside Feast's own client, on the same Redis in the same run: writes with
40 float32 columns made for the purpose, so that the figure stays comparable; reads of the real profile view."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource
from feast.types import Float32
from feast.value_type import ValueType

from features.views import PROFILE
from infra.feast_layout import Layout, Rows, encode_version, layout_of
from infra.feast_store import config, open_store, profile_features
from infra.redis_store import RedisClient, connect
from infra.redis_store_features import BlockingRows, FeatureRows, RowBatch, StoredRow

PROJECT, VIEW, KEY = "rapport_bench", "bench", "profile_id"
COLUMNS = tuple(f"column_{number}" for number in range(40))
LAYOUT = Layout(VIEW, (KEY,), COLUMNS, PROJECT)
PREFIX = "bench_"
VIEW_LAYOUT = layout_of(PROFILE, PREFIX)
REFERENCES = profile_features()
ENTITIES = [{KEY: "p0"}]
ROUNDS, OUR_CALLS, THEIR_CALLS = 5, 60, 12
Call = Callable[[], Awaitable[None]]


class Measured(msgspec.Struct, frozen=True):
    """Medians of one comparison in ms; the ratio says how many times faster ours is."""

    name: str
    ours: float
    floor: float

    def as_row(self) -> dict[str, Any]:
        ratio = self.floor / self.ours
        return {"name": self.name, "ours": self.ours, "floor": self.floor, "ratio": ratio, "unit": "ms"}


def run(redis_url: str) -> list[dict[str, Any]]:
    """Comparisons: name, ours, floor (Feast's client, median ms), ratio (floor / ours), unit.

    Opens an event loop of its own; removes what it wrote.
    """
    with tempfile.TemporaryDirectory() as directory:
        return [measured.as_row() for measured in asyncio.run(_measure(Path(directory), redis_url))]


def _store(directory: Path, redis_url: str) -> FeatureStore:
    directory.mkdir()
    entity = Entity(name=KEY, join_keys=[KEY], value_type=ValueType.STRING)
    table = FileSource(name="bench_offline", path=str(directory / "none.parquet"), timestamp_field="event_timestamp")
    schema = [Field(name=name, dtype=Float32) for name in COLUMNS]
    source = PushSource(name=VIEW, batch_source=table)
    view = FeatureView(name=VIEW, entities=[entity], ttl=timedelta(0), schema=schema, online=True, source=source)
    store = FeatureStore(config=config(directory, redis_url, PROJECT))
    store.apply([entity, source, view])
    return store


async def _measure(directory: Path, redis_url: str) -> list[Measured]:
    redis = connect(redis_url)
    try:
        store = _store(directory / "writes", redis_url)
        written = [await _writes(store, redis, count) for count in (1, 100)]
        store = open_store(directory / "reads", redis_url, PREFIX)
        await _prepare(redis)
        return [*written, await _blocking_reads(store, redis_url), await _reads(store, redis)]
    finally:
        for key in (*(LAYOUT.key(f"p{number}") for number in range(100)), VIEW_LAYOUT.key("p0")):
            await redis.delete(key)
        await redis.aclose()


async def _prepare(redis: RedisClient) -> None:
    batch = RowBatch([("p0",)], [encode_version((1,))], [1], _values(1, len(PROFILE.names)))
    await FeatureRows(redis, VIEW_LAYOUT).write(batch)


def _versions() -> Iterator[int]:
    # both refuse what is not newer than what is there, so every round must be
    start = time.time_ns() // 1_000_000
    return iter(range(start, start + 1_000_000))


def _values(rows: int, columns: int) -> Rows:
    return np.random.default_rng(1).standard_normal((rows, columns)).astype(np.float32)


async def _writes(store: FeatureStore, redis: RedisClient, count: int) -> Measured:
    rows, values, moments = FeatureRows(redis, LAYOUT), _values(count, len(COLUMNS)), _versions()
    ids = [f"p{number}" for number in range(count)]

    async def ours() -> None:
        at = next(moments)
        batch = RowBatch([(i,) for i in ids], [encode_version((1, 0, at))] * count, [at] * count, values)
        if sum(await rows.write(batch)) != count:
            raise RuntimeError("our rows were refused: the bench would measure nothing")

    frame = pd.DataFrame(values, columns=list(COLUMNS)).assign(**{KEY: ids})

    async def theirs() -> None:
        at = datetime.fromtimestamp(next(moments) / 1000, UTC)
        store.push(VIEW, frame.assign(event_timestamp=at))

    return await _compare(f"write {count} x {len(COLUMNS)}", ours, theirs)


async def _blocking_reads(store: FeatureStore, redis_url: str) -> Measured:
    reader = BlockingRows(redis_url, VIEW_LAYOUT)

    async def ours() -> None:
        _there(reader.read("p0"))

    async def theirs() -> None:
        store.get_online_features(features=REFERENCES, entity_rows=ENTITIES).to_dict()

    compared = await _compare(f"read 1 x {len(PROFILE.names)}, blocking", ours, theirs)
    reader.close()
    return compared


async def _reads(store: FeatureStore, redis: RedisClient) -> Measured:
    rows = FeatureRows(redis, VIEW_LAYOUT)

    async def ours() -> None:
        _there((await rows.read([("p0",)]))[0])

    async def theirs() -> None:
        (await store.get_online_features_async(features=REFERENCES, entity_rows=ENTITIES)).to_dict()

    return await _compare(f"read 1 x {len(PROFILE.names)}, asyncio", ours, theirs)


def _there(row: StoredRow | None) -> None:
    if row is None:
        raise RuntimeError("there is no row to read: the bench would measure nothing")


async def _compare(name: str, ours: Call, theirs: Call) -> Measured:
    """Medians over alternating rounds, so that a noisy moment hits both; a first call of each does not count."""
    mine: list[float] = []
    other: list[float] = []
    await ours()
    await theirs()
    for _ in range(ROUNDS):
        mine += await _timed(ours, OUR_CALLS)
        other += await _timed(theirs, THEIR_CALLS)
    return Measured(name, statistics.median(mine) * 1000, statistics.median(other) * 1000)


async def _timed(call: Call, times: int) -> list[float]:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - start)
    return taken
