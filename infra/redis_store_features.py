"""Feature rows in Redis in Feast's own layout, written and read in bulk; a row never yields to one of a lower version.
Knows nothing of how a value comes to be; the bytes are `infra.feast_layout`'s."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
import redis
from redis.asyncio import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError

from engine.catalog import Action
from engine.ports import Unavailable
from features.compute import CrossCounts
from features.cross import cross_row
from features.views import ACCEPTED, CROSS, IMPRESSIONS, PROFILE
from infra.feast_layout import (
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
from infra.id_bytes import pack_id, unpack_id
from infra.redis_store import FAILURES, RedisClient, nearest

# rows per script: below, calls dominate; above, everybody else waits for Redis
TOGETHER = 50
# calls under way at once on a cluster
ABREAST = 32
# how long to look for an answer before waiting to be woken for it: longer than a server on this machine takes
LOOK_SECONDS = 0.0002
_KEY = msgspec.msgpack.Decoder(tuple[str, str])

# The whole row travels as one argument and Redis unpacks it, faster than a client formats two arguments per column.
# What is null now is taken away, whoever wrote it: nothing may be read that a purpose has closed. Of the same version a
# row may be another by now: the policy has changed.
_WRITE = """
local written = {}
for k = 1, #KEYS do
  written[k] = 0
  local version = ARGV[3 * k - 2]
  local held = redis.call('HGET', KEYS[k], '@version')
  if not held or held <= version then
    local row = cmsgpack.unpack(ARGV[3 * k])
    redis.call('HSET', KEYS[k], '@version', version, '@timestamp', ARGV[3 * k - 1], unpack(row[1]))
    if #row[2] > 0 then redis.call('HDEL', KEYS[k], unpack(row[2])) end
    written[k] = 1
  end
end
return written
"""
_REMOVE = """
local held = redis.call('HGET', KEYS[1], '@version')
if held and held >= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], '@timestamp', unpack(ARGV, 2))
redis.call('HSET', KEYS[1], '@version', ARGV[1])
return 1
"""
# An end only moves earlier, or from what is due: of two who publish one person at once neither takes the other's away.
# Whoever is due is looked at anew, so one that is too early costs a look.
_END = """
for a = 2, #ARGV, 2 do
  local held = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[a + 1]) or '-1')
  if held <= tonumber(ARGV[1]) or held > tonumber(ARGV[a]) then redis.call('ZADD', KEYS[1], ARGV[a], ARGV[a + 1]) end
end
"""
_HOLD = """
for a = 2, #ARGV do
  local held = redis.call('ZSCORE', KEYS[1], ARGV[a])
  if held and tonumber(held) < tonumber(ARGV[1]) then redis.call('ZADD', KEYS[1], ARGV[1], ARGV[a]) end
end
"""
_DROP = """
for a = 2, #ARGV do
  local held = redis.call('ZSCORE', KEYS[1], ARGV[a])
  if held and tonumber(held) == tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[a]) end
end
"""
# between two moments, so that no end of a row is taken for one that is held
HELD_AFTER_MS = 0.5


def _script(template: str, layout: Layout) -> str:
    named = {"@version": layout.version_field, "@timestamp": layout.timestamp_field}
    for mark, name in named.items():
        template = template.replace(mark, name.decode())
    return template


class ProfileRow(NamedTuple):
    """One person's row. `at` in ms; `values` is float32 of shape (profile columns,), NaN where a purpose is closed;
    `until` (ms) is when it rests on a yes that has expired.

    `version` is (link version, consent version, count of events), compared part by part: consent stands before the
    count, so that of two writers who overtook each other the one who saw the withdrawal wins.
    """

    profile_id: str
    version: tuple[int, ...]
    at: int
    values: Rows
    until: int | None = None


class StoredRow(msgspec.Struct, frozen=True):
    """A row as read: when it was computed (ms) and its float32 values, NaN where null."""

    at: int
    values: Rows


class RowBatch(msgspec.Struct, frozen=True):
    """Rows to write, as parallel sequences: entity, encoded version, time (ms); `values` is float32 (rows, columns)."""

    keys: Sequence[tuple[str, ...]]
    versions: Sequence[bytes]
    at: Sequence[int]
    values: Rows


class RowReader:
    """One view's rows out of hashes that Redis answered."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._fields = layout.fields()
        self._timestamp = layout.timestamp_field

    def row(self, found: Mapping[bytes, bytes]) -> StoredRow | None:
        """None for an entity never written or removed."""
        stamp = found.get(self._timestamp)
        if stamp is None:
            return None
        return StoredRow(decode_timestamp(stamp), decode_row(map(found.get, self._fields)))


class FeatureRows:
    """The rows of one view, of any string keys."""

    def __init__(self, redis: RedisClient, layout: Layout) -> None:
        self.layout = layout
        self._redis = redis
        self._fields = layout.fields()
        self._reader = RowReader(layout)
        self._write = redis.register_script(_script(_WRITE, layout))
        self._remove = redis.register_script(_script(_REMOVE, layout))
        self._clustered = isinstance(redis, RedisCluster)

    async def write(self, batch: RowBatch) -> list[bool]:
        """Returns which rows were written: those that are as new as what was there, or newer."""
        keys = [self.layout.key(*key) for key in batch.keys]
        stamps = map(encode_timestamp, batch.at)
        calls = list(zip(batch.versions, stamps, encode_rows(self._fields, batch.values), strict=True))
        # a cluster lets a script touch one slot only, so there every row is a call of its own
        size, abreast = (1, ABREAST) if self._clustered else (TOGETHER, 1)
        parts = [slice(start, start + size) for start in range(0, len(keys), size)]
        written: list[bool] = []
        for start in range(0, len(parts), abreast):
            together = parts[start : start + abreast]
            answers = await asyncio.gather(*(self._write(keys=keys[p], args=[*chain(*calls[p])]) for p in together))
            written += [bool(one) for answer in answers for one in answer]
        return written

    async def read(self, keys: Sequence[tuple[str, ...]]) -> list[StoredRow | None]:
        """Rows in the order of the keys; None for an entity never written or removed."""
        if len(keys) == 1:
            return [self._reader.row(await self._redis.hgetall(self.layout.key(*keys[0])))]
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(self.layout.key(*key))
        return [self._reader.row(found) for found in await pipe.execute()]

    async def remove(self, key: tuple[str, ...], version: bytes) -> bool:
        """Leave nothing but `version` behind; False where what is there is newer."""
        return bool(await self._remove(keys=[self.layout.key(*key)], args=[version, *self._fields]))


class BlockingRows:
    """Reads the rows of one view without an event loop: for scripts, notebooks and whoever would use Feast's client.
    One thread's: it keeps a connection of its own."""

    def __init__(self, redis_url: str, layout: Layout) -> None:
        self._redis: Any = connect_blocking(redis_url)
        self._layout = layout
        self._reader = RowReader(layout)
        self._line: Any = None

    def read(self, *key: str) -> StoredRow | None:
        """The row of one entity; None when it was never written or was removed. Raises `Unavailable`."""
        with _answering():
            return self._reader.row(self._asked(self._layout.key(*key)))

    def _asked(self, key: bytes) -> Mapping[bytes, bytes]:
        if isinstance(self._redis, redis.RedisCluster):
            return cast(Mapping[bytes, bytes], self._redis.hgetall(key))
        # a connection of our own: redis-py's client around it costs more than the answer
        self._line = line = self._line or self._redis.connection_pool.get_connection()
        command = line.pack_command("HGETALL", key)
        try:
            found = _exchange(line, command)
        except RedisConnectionError:
            found = _exchange(line, command)  # it may only have been idle for too long; sending connects anew
        return found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))

    def close(self) -> None:
        self._redis.close()


def _exchange(line: Any, command: Any) -> Any:
    line.send_packed_command(command)
    # a server on this machine answers sooner than the system would wake us: looking for it saves a third
    until = time.perf_counter() + LOOK_SECONDS
    while not line.can_read(0) and time.perf_counter() < until:
        pass
    return line.read_response()


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
        self._ends = f"{{features}}{profile.project}:ends"
        self._end, self._hold, self._drop = map(redis.register_script, (_END, _HOLD, _DROP))

    async def write_profiles(self, rows: Sequence[ProfileRow]) -> int:
        """Write each row unless the stored one is newer; returns how many were written."""
        if not rows:
            return 0
        ids, versions, at, values, _ = zip(*rows, strict=True)
        batch = RowBatch([(i,) for i in ids], [encode_version(v) for v in versions], at, np.stack(values))
        with _answering():
            written = await self._profiles.write(batch)
            ends = [(row.until, pack_id(row.profile_id)) for row, taken in zip(rows, written, strict=True) if taken]
            if some := [part for until, packed in ends if until is not None for part in (until, packed)]:
                await self._end(keys=[self._ends], args=[max(at), *some])
            return sum(written)

    async def remove_profile(self, profile_id: str, link_version: int) -> bool:
        """Take a row away as far as this link version goes; a later link version may write it again."""
        with _answering():
            return await self._removed(profile_id, tombstone(link_version))

    async def erase_profile(self, profile_id: str, version: bytes) -> bool:
        """Whether a row was there and was older than `version`; nothing but that is left."""
        with _answering():
            held = (await self._profiles.read([(profile_id,)]))[0]
            return await self._removed(profile_id, version) and held is not None

    async def _removed(self, profile_id: str, version: bytes) -> bool:
        gone = await self._profiles.remove((profile_id,), version)
        if gone:
            await self._redis.zrem(self._ends, pack_id(profile_id))
        return gone

    async def read_profile(self, profile_id: str) -> StoredRow | None:
        """The row as last published; None for a profile never published or removed."""
        return (await self.read_profiles([profile_id]))[0]

    async def read_profiles(self, profile_ids: Sequence[str]) -> list[StoredRow | None]:
        """Rows in the order asked."""
        with _answering():
            return await self._profiles.read([(profile_id,) for profile_id in profile_ids])

    async def ended(self, at: int, most: int) -> list[str]:
        """Up to so many profiles whose row rests on a yes that has expired by `at` (ms), the longest first."""
        with _answering():
            return [*map(unpack_id, await self._redis.zrangebyscore(self._ends, "-inf", at, start=0, num=most))]

    async def hold_ended(self, profile_ids: Sequence[str], at: int) -> None:
        """Those that are due at `at` (ms) are looked at now: whoever publishes one of them meanwhile moves its end."""
        with _answering():
            await self._hold(keys=[self._ends], args=[at + HELD_AFTER_MS, *map(pack_id, profile_ids)])

    async def drop_ended(self, profile_ids: Sequence[str], at: int) -> None:
        """Those of them that are still held since `at` (ms) wait for nothing any more."""
        with _answering():
            await self._drop(keys=[self._ends], args=[at + HELD_AFTER_MS, *map(pack_id, profile_ids)])

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
            return sum(await self._cross.write(batch))

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


def connect_blocking(url: str) -> Any:
    """A client without an event loop for one server, or for a cluster where the URL says `?cluster=true`."""
    address, clustered = nearest(url)
    return redis.RedisCluster.from_url(address) if clustered else redis.Redis.from_url(address)


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise Unavailable("the feature store does not answer; try again in a moment") from error
