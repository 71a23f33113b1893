"""How far each partition of notices was published, in the same Redis as what was published: where that lost its last
second, it lost this too. Knows offsets; nothing of what a notice says."""

from collections.abc import Mapping

import msgspec

from infra.redis_store import RedisClient

_KEY = "rapport:published"
# Marks only move on, so that a publisher that let a partition go does not move back its successor's.
_MOVE = """
for a = 2, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[a])
  local log, at = string.match(held or '0-0', '^(%d+)-(%d+)$')
  local same = tonumber(log) == tonumber(ARGV[1])
  if tonumber(log) < tonumber(ARGV[1]) or (same and tonumber(at) < tonumber(ARGV[a + 1])) then
    redis.call('HSET', KEYS[1], ARGV[a], ARGV[1] .. '-' .. ARGV[a + 1])
  end
end
"""
_NOW, _EARLIER = "now", "earlier"


class Marks(msgspec.Struct, frozen=True):
    """The next offset to publish, by partition: as it is `now`, and as it was a few seconds `earlier`."""

    now: Mapping[int, int]
    earlier: Mapping[int, int]


class PublishedMarks:
    """The marks of all publishers. `log` is the running number of the log that offsets count in."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._move = redis.register_script(_MOVE)

    async def read(self, log: int) -> Marks:
        """The marks of this log; there are none yet of a new one."""
        found: dict[str, dict[int, int]] = {_NOW: {}, _EARLIER: {}}
        for field, value in (await self._redis.hgetall(_KEY)).items():
            kind, _, partition = field.decode().partition(":")
            of, _, offset = value.decode().partition("-")
            if int(of) == log:
                found[kind][int(partition)] = int(offset)
        return Marks(found[_NOW], found[_EARLIER])

    async def move(self, log: int, marks: Marks) -> None:
        """Move marks on; those that are there already stay."""
        arguments: list[str | int] = [log]
        for kind, offsets in ((_NOW, marks.now), (_EARLIER, marks.earlier)):
            for partition, offset in offsets.items():
                arguments += [f"{kind}:{partition}", offset]
        await self._move(keys=[_KEY], args=arguments)
