"""Consent as it is served: one hash per identifier that takes only a higher ledger number, refusals on their way to the
ledger beside it. Knows the order of writes; what a statement means, `engine.consent` says."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.consent import GRANTED, Held
from engine.ports import ConsentChange, Unavailable
from engine.records import partition_of
from engine.statement import BROWSER
from infra.held_bytes import encode_held
from infra.redis_store import FAILURES, PENDING, Pending, RedisClient, decode_held, pending_of
from infra.topics import applied_key, consent_key, whole_key

# The state is replaced by a later one only; a writer takes away nothing but its own pending rows. The mark says up to
# which number of the ledger this partition has seen writes: what comes after it may be missing once Redis restarts. In
# a run that may miss something the mark stays where it is: a write must not make it pass over what was lost.
_RUN = "local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')"
_SETTLE = f"""{_RUN}
local seq, held = tonumber(ARGV[1]), redis.call('HGET', KEYS[1], 'q')
if not held or seq > tonumber(held) then redis.call('HSET', KEYS[1], 'q', ARGV[1], 'h', ARGV[2]) end
for i = 3, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
local mark = redis.call('GET', KEYS[2])
if redis.call('GET', KEYS[3]) == run and (not mark or seq > tonumber(mark)) then redis.call('SET', KEYS[2], ARGV[1]) end
return redis.call('HGETALL', KEYS[1])
"""
# Only the server itself knows which run it is: it may have restarted since the marks were read.
_MARK = f"""{_RUN}
for i = 2, #ARGV do
  if ARGV[i] == run then
    local mark = redis.call('GET', KEYS[1])
    if not mark or tonumber(ARGV[1]) > tonumber(mark) then redis.call('SET', KEYS[1], ARGV[1]) end
    redis.call('SET', KEYS[2], run)
    return 1
  end
end
return 0
"""
RUNS = "rapport:consent:runs"
# the fields in which the stream's script remembers what events said last
HEARD = "l:"
SOME = 200


class ConsentKeys:
    """The keys under which consent is served."""

    def __init__(self, redis: RedisClient, partitions: int) -> None:
        self._redis = redis
        self._partitions = partitions

    def _key(self, identity: str) -> str:
        return consent_key(partition_of(identity, self._partitions), identity)

    async def read(self, identities: Sequence[str]) -> tuple[dict[str, Held], dict[str, dict[str, Pending]]]:
        """What each identifier holds as far as Redis knows, and the rows still on their way, by identifier and row."""
        wanted = list(dict.fromkeys(identities))
        pipe = self._redis.pipeline(transaction=False)
        for identity in wanted:
            pipe.hgetall(self._key(identity))
        try:
            answers = await pipe.execute()
        except FAILURES as error:
            raise Unavailable("the consent store does not answer; try again in a moment") from error
        found = {i: fields for i, fields in zip(wanted, answers, strict=True) if fields}
        waiting = {i: pending_of(fields) for i, fields in found.items()}
        return {i: decode_held(f) for i, f in found.items()}, {i: rows for i, rows in waiting.items() if rows}

    async def hold(self, changes: Mapping[str, ConsentChange], rows: Mapping[str, str], since: Pending) -> None:
        """Make refusals count before the ledger has them: one pending row under each identifier, with what `since`
        says beside the change."""
        pipe = self._redis.pipeline(transaction=False)
        for identity, change in changes.items():
            pending = encode_pending(msgspec.structs.replace(since, change=change))
            pipe.hset(self._key(identity), f"{PENDING}{rows[identity]}", pending)
        await self._carried_out(pipe)

    async def settle(self, states: Mapping[str, Held], rows: Mapping[str, Sequence[str]]) -> dict[str, Held]:
        """Put down what the ledger says (its row number is the state's version), and take away these pending rows.
        Returns what each identifier holds then: others' refusals may still be on their way."""
        items = list(states.items())
        found: dict[str, Held] = {}
        for start in range(0, len(items), SOME):
            pipe = self._redis.pipeline(transaction=False)
            for identity, held in items[start : start + SOME]:
                mine = [f"{PENDING}{row}" for row in rows.get(identity, ())]
                data = encode_held(held)
                partition = partition_of(identity, self._partitions)
                keys = (self._key(identity), applied_key(partition), whole_key(partition))
                pipe.execute_command("EVAL", _SETTLE, len(keys), *keys, held.version, data, *mine)
            for (identity, _), raw in zip(items[start : start + SOME], await self._carried_out(pipe), strict=True):
                found[identity] = decode_held(dict(zip(raw[::2], raw[1::2], strict=True)))
        return found

    async def listen_again(self, changes: Mapping[str, ConsentChange]) -> None:
        """Whoever an explicit yes of an event covers is heard when the browser opts out again, under whatever home."""
        pipe = self._redis.pipeline(transaction=False)
        for change in changes.values():
            for purpose, said in change.statements.items():
                for covered in said.covers if said.status == GRANTED else ():
                    pipe.hdel(self._key(covered), f"{HEARD}{BROWSER}{purpose}")
        await self._carried_out(pipe)

    async def marks(self) -> list[int]:
        """Up to which number of the ledger each partition has seen writes."""
        keys = [applied_key(partition) for partition in range(self._partitions)]
        return [int(await self._redis.get(key) or 0) for key in keys]

    async def caught_up(self, seq: int, runs: Sequence[str]) -> bool:
        """Everything up to `seq` is here: remember it, and which runs of the server hold it. False where a server
        is in another run by now, so that something may be missing again."""
        for partition in range(self._partitions):
            keys = (applied_key(partition), whole_key(partition))
            if not await self._redis.eval(_MARK, len(keys), *keys, seq, *runs):
                return False
        await self._redis.sadd(RUNS, *runs)
        return True

    async def runs(self) -> set[str]:
        """The runs of the server that hold all of the ledger."""
        return {raw.decode() for raw in await self._redis.smembers(RUNS)}

    async def _carried_out(self, pipe: RedisClient) -> Sequence[Any]:
        try:
            return list(await pipe.execute()) if len(pipe) else []
        except FAILURES as error:
            raise Unavailable("the consent store did not take the change; send it again") from error


def encode_pending(pending: Pending) -> bytes:
    """What a pending row holds; the stream's script writes it too."""
    return msgspec.msgpack.encode(pending)
