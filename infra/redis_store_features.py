"""Feature rows in Redis in Feast's own layout, written and read in bulk: a row yields only to a higher version, which is
compared where it lies. Knows nothing of how a value comes to be; the bytes are `infra.feast_layout`'s."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from redis.exceptions import NoScriptError

from engine.catalog import Action
from engine.ports import Unavailable
from features.compute import CrossCounts
from features.cross import cross_row
from features.views import ACCEPTED, CROSS, IMPRESSIONS, PROFILE
from infra.feast_layout import (
    NULL,
    VALUE_BYTES,
    Layout,
    Rows,
    decode_row,
    decode_timestamp,
    decode_value,
    encode_rows,
    encode_timestamp,
    encode_version,
    field,
    layout_of,
    tombstone,
)
from infra.redis_store import FAILURES, RedisClient

PIPELINE = 500
_KEY = msgspec.msgpack.Decoder(tuple[str, str])

# The fields of a view stand in the script itself, so a call carries one key and one packed row instead of two arguments
# per column. Redis unpacks and packs faster than a client formats and parses.
_WRITE = """
local held = redis.call('HGET', KEYS[1], @version)
if held and held >= ARGV[1] then return 0 end
local fields, row = {@fields}, {}
for i = 1, #fields do
  local value = string.sub(ARGV[3], @size * i - @last, @size * i)
  if value == @null then value = '' end
  row[2 * i - 1], row[2 * i] = fields[i], value
end
redis.call('HSET', KEYS[1], @version, ARGV[1], @timestamp, ARGV[2], unpack(row))
return 1
"""
_READ = """
local row = redis.call('HMGET', KEYS[1], @timestamp, @fields)
if not row[1] then return false end
for i = 2, #row do
  if not row[i] or row[i] == '' then row[i] = @null end
end
return {row[1], table.concat(row, '', 2)}
"""
_REMOVE = """
local held = redis.call('HGET', KEYS[1], @version)
if held and held >= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], @timestamp, @fields)
redis.call('HSET', KEYS[1], @version, ARGV[1])
return 1
"""


class ProfileRow(NamedTuple):
    """One person's row. `version` is compared part by part and must always have the same parts, the link version
    first; `at` in ms; `values` is float32 of shape (profile columns,), NaN where a purpose is closed."""

    profile_id: str
    version: tuple[int, ...]
    at: int
    values: Rows


class StoredRow(msgspec.Struct, frozen=True):
    """A row as read: when it was computed (ms) and its float32 values, NaN where null."""

    at: int
    values: Rows


def _quoted(data: bytes) -> str:
    """Bytes as a Lua literal that does not depend on any encoding."""
    return "'" + "".join(f"\\{byte:03d}" for byte in data) + "'"


def _script(template: str, layout: Layout) -> str:
    fills = {
        "@version": _quoted(layout.version_field),
        "@timestamp": _quoted(layout.timestamp_field),
        "@fields": ", ".join(_quoted(name) for name in layout.fields),
        "@null": _quoted(NULL),
        "@size": str(VALUE_BYTES),
        "@last": str(VALUE_BYTES - 1),
    }
    for mark, text in fills.items():
        template = template.replace(mark, text)
    return template


class _Scripts:
    """One script called for many keys: pipelined on one server, side by side on a cluster: its pipelines refuse it."""

    def __init__(self, redis: RedisClient, template: str, layout: Layout) -> None:
        self._redis = redis
        self._script = redis.register_script(_script(template, layout))
        self._clustered = hasattr(redis, "get_primaries")

    async def one(self, key: bytes, *arguments: bytes) -> Any:
        return await self._script(keys=[key], args=arguments)

    async def many(self, calls: Sequence[tuple[bytes, ...]]) -> list[Any]:
        """Answers in the order of `calls`, each a key and its arguments."""
        if self._clustered or len(calls) == 1:
            return list(await asyncio.gather(*(self.one(*call) for call in calls)))
        try:
            return await self._piped(calls)
        except NoScriptError:
            # a call that came through before the script was lost runs again: versions make that harmless
            await self._redis.script_load(self._script.script)
            return await self._piped(calls)

    async def _piped(self, calls: Sequence[tuple[bytes, ...]]) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(calls), PIPELINE):
            pipe = self._redis.pipeline(transaction=False)
            for call in calls[start : start + PIPELINE]:
                pipe.evalsha(self._script.sha, 1, *call)
            answers += await pipe.execute()
        return answers


class RowBatch(msgspec.Struct, frozen=True):
    """Rows to write, as parallel sequences: entity, encoded version, time (ms); `values` is float32 (rows, columns)."""

    keys: Sequence[tuple[str, ...]]
    versions: Sequence[bytes]
    at: Sequence[int]
    values: Rows


class FeatureRows:
    """The rows of one view, of any string keys."""

    def __init__(self, redis: RedisClient, layout: Layout) -> None:
        self.layout = layout
        self._write = _Scripts(redis, _WRITE, layout)
        self._read = _Scripts(redis, _READ, layout)
        self._remove = _Scripts(redis, _REMOVE, layout)

    async def write(self, batch: RowBatch) -> int:
        """Returns how many rows were newer than what was there."""
        named = [self.layout.key(*key) for key in batch.keys]
        stamps = [encode_timestamp(at) for at in batch.at]
        calls = list(zip(named, batch.versions, stamps, encode_rows(batch.values), strict=True))
        answers = await self._write.many(calls)
        return sum(int(answer) for answer in answers)

    async def read(self, keys: Sequence[tuple[str, ...]]) -> list[StoredRow | None]:
        """Rows in the order of the keys; None for an entity never written or removed."""
        answers = await self._read.many([(self.layout.key(*key),) for key in keys])
        return [StoredRow(decode_timestamp(a[0]), decode_row(a[1])) if a else None for a in answers]

    async def remove(self, key: tuple[str, ...], version: bytes) -> bool:
        """Leave nothing but `version` behind; False where what is there is newer."""
        return bool(await self._remove.one(self.layout.key(*key), version))


class RedisFeatures:
    """The published features: rows of profiles and of (action, segment) pairs. `engine.ports.CrossFeatures`.

    Every call raises `Unavailable` when Redis does not answer.
    """

    def __init__(self, redis: RedisClient, prefix: str = "") -> None:
        profile, cross = layout_of(PROFILE, prefix), layout_of(CROSS, prefix)
        self._redis = redis
        self._profiles = FeatureRows(redis, profile)
        self._cross = FeatureRows(redis, cross)
        self._counts = (field(CROSS.name, IMPRESSIONS), field(CROSS.name, ACCEPTED))
        self._listed = f"{{features}}{cross.project}"

    async def write_profiles(self, rows: Sequence[ProfileRow]) -> int:
        """Write each row unless the stored one is as new; returns how many were written."""
        if not rows:
            return 0
        ids, versions, at, values = zip(*rows, strict=True)
        batch = RowBatch([(i,) for i in ids], [encode_version(v) for v in versions], at, np.stack(values))
        with _answering():
            return await self._profiles.write(batch)

    async def remove_profile(self, profile_id: str, link_version: int) -> bool:
        """Take a row away as far as this link version goes; a later link version may write it again."""
        with _answering():
            return await self._profiles.remove((profile_id,), tombstone(link_version))

    async def read_profile(self, profile_id: str) -> StoredRow | None:
        """The row as last published; None for a profile never published or removed."""
        return (await self.read_profiles([profile_id]))[0]

    async def read_profiles(self, profile_ids: Sequence[str]) -> list[StoredRow | None]:
        """Rows in the order asked."""
        with _answering():
            return await self._profiles.read([(profile_id,) for profile_id in profile_ids])

    async def write_cross(
        self, counts: Mapping[tuple[str, str], CrossCounts], actions: Mapping[str, Action], at: int
    ) -> int:
        """Write what has been counted per (action id, segment) as of `at` (ms); returns how many rows were older."""
        if not counts:
            return 0
        keys, version = list(counts), encode_version((at,))
        rows = np.stack([cross_row(actions.get(key[0]), counts[key]) for key in keys])
        batch = RowBatch(keys, [version] * len(keys), [at] * len(keys), rows)
        with _answering():
            await self._redis.sadd(self._listed, *(msgspec.msgpack.encode(key) for key in keys))
            return await self._cross.write(batch)

    async def cross_counts(self) -> dict[tuple[str, str], tuple[float, float]]:
        """(action id, segment) -> (impressions, accepted), from the rows Feast's own client would read."""
        with _answering():
            keys = [_KEY.decode(raw) for raw in await self._redis.smembers(self._listed)]
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                pipe.hmget(self._cross.layout.key(*key), self._counts)
            answers = await pipe.execute() if keys else []
        found = {key: tuple(map(decode_value, answer)) for key, answer in zip(keys, answers, strict=True)}
        return {key: (impressions, accepted) for key, (impressions, accepted) in found.items() if impressions >= 0}

    async def read_cross(self, action_id: str, segment: str) -> StoredRow | None:
        """One whole row of the cross view."""
        with _answering():
            return (await self._cross.read([(action_id, segment)]))[0]


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise Unavailable("the feature store does not answer; try again in a moment") from error
