"""Promised approaches in Redis: one hash per person in the person's partition, counted and added to by one script, so
that many who decide at once never promise more than the caps. Knows no cap by name; rooms come in as numbers."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.ports import PersonView, Unavailable
from engine.profile import Contact
from engine.records import partition_of
from engine.reservation import Reserved, Taking
from infra.redis_store import FAILURES, RedisClient
from infra.topics import reservations_key

# All claims or none. A reservation is [expires, at, channel, action, group] under its token. What has expired goes;
# what became a contact (ARGV[2]) is counted by the caller already. Kinds match as `engine.reservation` says.
_TAKE = """
local asked, made = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2])
local at, expires = tonumber(ARGV[3]), tonumber(ARGV[4])
local skip, held = {}, {}
for _, token in ipairs(made) do skip[token] = true end
local all, longest = redis.call('HGETALL', KEYS[1]), expires
for i = 1, #all, 2 do
  local one = cmsgpack.unpack(all[i + 1])
  if one[1] <= at then redis.call('HDEL', KEYS[1], all[i])
  else
    if one[1] > longest then longest = one[1] end
    if not skip[all[i]] then held[#held + 1] = one end
  end
end
local field = {channel = 3, action = 4, group = 5}
for _, claim in ipairs(asked) do
  local mine = claim[2]
  for _, cap in ipairs(claim[3]) do
    local kind, window, room = cap[1], cap[2], cap[3]
    local count = 0
    for _, one in ipairs(held) do
      if one[2] > at - window and (kind == 'all' or one[field[kind]] == mine[field[kind]]) then count = count + 1 end
    end
    if count >= room then return 0 end
  end
  held[#held + 1] = mine
end
for _, claim in ipairs(asked) do redis.call('HSET', KEYS[1], claim[1], cmsgpack.pack(claim[2])) end
redis.call('PEXPIRE', KEYS[1], longest - at)
return 1
"""
_PACK = msgspec.msgpack.Encoder().encode
_HELD = msgspec.msgpack.Decoder(tuple[int, int, str, str, str])


class RedisReservations:
    """`engine.ports.Reservations`: one round trip each, however many people. The script's clock is the caller's."""

    def __init__(self, redis: RedisClient, partitions: int) -> None:
        self._redis = redis
        self._partitions = partitions
        self._take = redis.register_script(_TAKE)

    def _key(self, identity: str) -> str:
        return reservations_key(partition_of(identity, self._partitions), identity)

    async def promised(self, views: Sequence[PersonView], at: int) -> list[Reserved]:
        ids = list(dict.fromkeys(i for view in views for i in _ids(view)))
        pipe = self._redis.pipeline(transaction=False)
        for identity in ids:
            pipe.hgetall(self._key(identity))
        answers = await _executed(pipe)
        found = {identity: _read(fields, at) for identity, fields in zip(ids, answers, strict=True)}
        return [_reserved(view, found) for view in views]

    async def erase(self, identities: Sequence[str]) -> int:
        """Forget what was promised to these people; returns to how many something was."""
        pipe = self._redis.pipeline(transaction=False)
        for identity in identities:
            pipe.delete(self._key(identity))
        return sum(map(int, await _executed(pipe)))

    async def take(self, wanted: Sequence[Taking]) -> list[bool]:
        try:
            return list(await asyncio.gather(*(self._one(taking) for taking in wanted)))
        except FAILURES as error:
            raise _away() from error

    async def release(self, promises: Mapping[str, Sequence[str]]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for identity, tokens in promises.items():
            if tokens:
                pipe.hdel(self._key(identity), *tokens)
        await _executed(pipe)

    async def _one(self, taking: Taking) -> bool:
        expires = taking.at + taking.lasting
        claims = [(c.contact.message_id, _kept(c.contact, expires), c.caps) for c in taking.claims]
        arguments = [_PACK(claims), _PACK(taking.made), str(taking.at), str(expires)]
        return bool(await self._take(keys=[self._key(taking.profile_id)], args=arguments))


def _ids(view: PersonView) -> tuple[str, ...]:
    return view.members or (view.profile_id,)


async def _executed(pipe: Any) -> list[Any]:
    try:
        answers: list[Any] = await pipe.execute()
    except FAILURES as error:
        raise _away() from error
    return answers


def _away() -> Unavailable:
    return Unavailable("the store of promised contacts does not answer; try again in a moment")


def _kept(contact: Contact, expires: int) -> tuple[int, int, str, str, str]:
    return expires, contact.at, contact.channel, contact.action_id, contact.group


def _read(fields: dict[bytes, bytes], at: int) -> tuple[Contact, ...]:
    found = ((token.decode(), _HELD.decode(data)) for token, data in fields.items())
    return tuple(Contact(one[1], token, *one[2:]) for token, one in found if one[0] > at)


def _reserved(view: PersonView, found: dict[str, tuple[Contact, ...]]) -> Reserved:
    elsewhere = tuple(c for i in _ids(view) if i != view.profile_id for c in found[i])
    return Reserved(found.get(view.profile_id, ()), elsewhere)
