"""Outreach queues in Redis: each a sorted set of profiles and a hash of their entries. Knows no rule of outreach."""

from collections.abc import Mapping, Sequence

import msgspec

from engine.ports import Entry, Unavailable
from infra.redis_store import FAILURES, RedisClient

_ENTRY = msgspec.msgpack.Decoder(Entry)

# Versions are digits of fixed width. Who never was in the queue leaves no trace by not getting in.
_PLACE = """
for a = 1, #ARGV, 4 do
  local id, version = ARGV[a], ARGV[a + 1]
  local held = redis.call('HGET', KEYS[3], id)
  if not held or held <= version then
    if ARGV[a + 3] ~= '' then
      redis.call('ZADD', KEYS[1], ARGV[a + 2], id)
      redis.call('HSET', KEYS[2], id, ARGV[a + 3])
      redis.call('HSET', KEYS[3], id, version)
    elseif held then
      redis.call('ZREM', KEYS[1], id)
      redis.call('HDEL', KEYS[2], id)
      redis.call('HSET', KEYS[3], id, version)
    end
  end
end
"""


class RedisQueues:
    """`engine.ports.Queues` over a sorted set and a hash per queue."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._place = redis.register_script(_PLACE)

    async def entries(self, queue: str, limit: int, offset: int = 0) -> tuple[list[Entry], int]:
        try:
            total = int(await self._redis.zcard(queue_key(queue)))
            ids = await self._redis.zrevrange(queue_key(queue), offset, offset + limit - 1)
            raws = await self._redis.hmget(queue_entries_key(queue), ids) if ids else []
        except FAILURES as error:
            raise Unavailable("the outreach store does not answer; try again in a moment") from error
        return [_ENTRY.decode(raw) for raw in raws if raw], total

    async def entries_of(self, queue: str, profile_ids: Sequence[str]) -> list[Entry]:
        """What the queue has of these profiles."""
        raws = await self._redis.hmget(queue_entries_key(queue), profile_ids) if profile_ids else []
        return [_ENTRY.decode(raw) for raw in raws if raw is not None]

    async def write(self, queue: str, places: Mapping[str, tuple[bytes, Entry | None]]) -> None:
        """Put each profile's entry into the queue, or take it out (None); what came from a newer version stays."""
        arguments: list[str | bytes | float] = []
        for profile_id, (version, entry) in places.items():
            priority, data = (entry.priority, msgspec.msgpack.encode(entry)) if entry is not None else (0.0, b"")
            arguments += [profile_id, version, priority, data]
        if arguments:
            keys = [queue_key(queue), queue_entries_key(queue), queue_versions_key(queue)]
            await self._place(keys=keys, args=arguments)


def queue_key(queue: str) -> str:
    return f"{{q:{queue}}}z"


def queue_entries_key(queue: str) -> str:
    return f"{{q:{queue}}}e"


def queue_versions_key(queue: str) -> str:
    return f"{{q:{queue}}}v"
