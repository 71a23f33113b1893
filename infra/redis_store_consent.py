"""Consent as it is served: one hash per identifier, changed by one script. Knows how a statement replaces another of
the same identifier; what the person's answer is, `engine.consent` says."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from redis.exceptions import RedisError

from engine.consent import GRANTED, Held
from engine.ports import ConsentChange, Unavailable
from engine.records import partition_of
from infra.redis_store import RedisClient, decode_held
from infra.topics import consent_key

# An explicit statement replaces an older explicit one. Of two at the same moment the no stands, so only a no (its
# fifth value) replaces one that is equally old. What events said stays beside it; which of both counts, the rules say.
_WRITE = """
local changed = 0
local i = 1
while i <= #ARGV do
  local kind, name, value, at, yes = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
  if kind == 's' then
    local held = redis.call('HGET', KEYS[1], 's:' .. name)
    local before = held and cmsgpack.unpack(held)[2] or -1
    if before < at or (before == at and yes == '0' and held ~= value) then
      redis.call('HSET', KEYS[1], 's:' .. name, value)
      changed = 1
    end
  elseif value == '' then
    changed = changed + redis.call('HDEL', KEYS[1], kind .. ':' .. name)
  else
    redis.call('HSET', KEYS[1], kind .. ':' .. name, value)
    changed = 1
  end
  i = i + 5
end
if changed > 0 then redis.call('HINCRBY', KEYS[1], 'v', 1) end
return changed
"""


class RedisConsents:
    """`engine.ports.Consents`."""

    def __init__(self, redis: RedisClient, partitions: int) -> None:
        self._redis = redis
        self._partitions = partitions
        self._write = redis.register_script(_WRITE)

    def _key(self, identity: str) -> str:
        return consent_key(partition_of(identity, self._partitions), identity)

    async def held(self, identities: Sequence[str]) -> dict[str, Held]:
        """What is stored under each of the identifiers that ever said something."""
        wanted = list(dict.fromkeys(identities))
        pipe = self._redis.pipeline(transaction=False)
        for identity in wanted:
            pipe.hgetall(self._key(identity))
        try:
            answers = await pipe.execute()
        except RedisError as error:
            raise Unavailable("the consent store does not answer; try again in a moment") from error
        return {i: decode_held(fields) for i, fields in zip(wanted, answers, strict=True) if fields}

    async def write(self, changes: Mapping[str, ConsentChange]) -> None:
        """Returns when every identifier's hash holds the change."""
        try:
            await asyncio.gather(*(self._one(identity, change) for identity, change in changes.items()))
        except RedisError as error:
            raise Unavailable("the consent store did not take the change; send it again") from error

    async def _one(self, identity: str, change: ConsentChange) -> None:
        arguments: list[str | bytes] = []
        for purpose, statement in change.statements.items():
            yes = "1" if statement.status == GRANTED else "0"
            arguments += ["s", purpose, msgspec.msgpack.encode(statement), str(statement.at), yes]
        for channel, topics in change.preferences.items():
            for about, answer in topics.items():
                arguments += ["p", f"{channel}:{about}", "1" if answer else "0", "0", ""]
        for name, value in change.settings.items():
            arguments += ["k", name, value, "0", ""]
        if arguments:
            await self._write(keys=[self._key(identity)], args=arguments)
