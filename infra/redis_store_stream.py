"""Redis as the stream worker writes it: where a partition stands, its fragments, tail and outbox, all moved on by one
script that refuses unless the partition stands where the worker believes. Knows no rule of the fold."""

from collections.abc import Mapping, Sequence

import msgspec
from redis.exceptions import ResponseError

from engine.consent import Statement
from engine.identity import Claim
from engine.ledger import row_of_event
from engine.ports import ConsentChange, Stored
from engine.records import Position
from infra.fragment_bytes import pack, unpack
from infra.redis_store import PENDING, Pending, RedisClient
from infra.redis_store_consent import encode_pending
from infra.topics import (
    consent_key,
    counts_key,
    decision_key,
    fragment_key,
    outbox_key,
    tail_key,
    watermark_key,
    wiped_key,
)

# One batch of records, all or nothing, and only if the watermark is the one the worker started from. Returns the
# watermark found (so that a refused worker can tell whether its own write already landed), the tail's length and what
# news of consent was heard, which also stays beside the watermark, as does the batch's first offset `f`: whoever does
# the batch's effects again must know both. `l:<memory>` remembers the last thing an event said: repeating it says
# nothing. A no counts at once, as a row on its way to the ledger; a yes waits until the ledger has it, and tells that
# the browser does not opt out any more: when it does again, that is news.
_APPLY = """
local w = redis.call('HMGET', KEYS[1], 'i', 'o', 'g')
local inc, off = tonumber(w[1] or '0'), tonumber(w[2] or '-1')
if inc == tonumber(ARGV[1]) and off == tonumber(ARGV[2]) and (w[3] or '0') ~= ARGV[10] then return {0, inc, off} end
if inc ~= tonumber(ARGV[1]) or off ~= tonumber(ARGV[2]) then
  if inc ~= tonumber(ARGV[3]) or off ~= tonumber(ARGV[4]) then redis.call('HINCRBY', KEYS[1], 'refused', 1) end
  return {0, inc, off}
end
local a, k = 12, 5
for z = #KEYS - 2 * tonumber(ARGV[11]) + 1, #KEYS, 2 do
  redis.call('HINCRBY', KEYS[z + 1], 'consent', redis.call('DEL', KEYS[z]))
  redis.call('HINCRBY', KEYS[z + 1], 'fragments', ARGV[a])
  redis.call('EXPIRE', KEYS[z + 1], 604800)
  a = a + 1
end
local last = #ARGV - 1 - 2 * tonumber(ARGV[9])
for _ = 1, tonumber(ARGV[5]) do redis.call('SET', KEYS[k], ARGV[a]); k = k + 1; a = a + 1 end
for _ = 1, tonumber(ARGV[6]) do redis.call('HINCRBY', KEYS[4], ARGV[a], ARGV[a + 1]); a = a + 2 end
for _ = 1, tonumber(ARGV[7]) do redis.call('SET', KEYS[k], ARGV[a], 'EX', ARGV[a + 1]); k = k + 1; a = a + 2 end
local heard = {}
while a <= last do
  local key, memory, said, explicit = KEYS[k], ARGV[a], ARGV[a + 1], ARGV[a + 2]
  if explicit == '1' or (said == '0' and redis.call('HGET', key, 'l:' .. memory) ~= '0') then
    if said == '0' then redis.call('HSET', key, ARGV[a + 3], ARGV[a + 4]) end
    heard[#heard + 1] = ARGV[a + 5]
  end
  redis.call('HSET', key, 'l:' .. memory, said)
  if explicit == '1' and said == '1' then redis.call('HDEL', key, 'l:gpc:' .. memory) end
  k = k + 1; a = a + 6
end
local packed = ''
if #heard > 0 then
  local n = #heard
  packed = string.char(221, 0, math.floor(n / 65536), math.floor(n / 256) % 256, n % 256) .. table.concat(heard)
end
for r = last + 1, #ARGV - 2, 2 do
  redis.call('XADD', KEYS[2], ARGV[3] .. '-' .. ARGV[r], 'r', ARGV[r + 1], 't', ARGV[8])
end
if ARGV[#ARGV] ~= '' then redis.call('XADD', KEYS[3], ARGV[3] .. '-' .. ARGV[4], 'c', ARGV[#ARGV]) end
redis.call('HSET', KEYS[1], 'i', ARGV[3], 'o', ARGV[4], 'f', ARGV[last + 1], 'n', packed)
return {1, redis.call('XLEN', KEYS[2]), packed}
"""
_INCARNATION = """
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then return tonumber(known) end
local number = redis.call('HLEN', KEYS[1]) + 1
redis.call('HSET', KEYS[1], ARGV[1], number)
return number
"""
INCARNATIONS = "rapport:incarnations"
PARTITIONS = "rapport:partitions"
BEAT_SECONDS = 5
_ENCODER = msgspec.msgpack.Encoder()
_CLAIMS = msgspec.msgpack.Decoder(tuple[Claim, ...])
COUNTERS = ("refused", "skipped")


class Said(msgspec.Struct, frozen=True, array_like=True):
    """One purpose's answer that an event carried for its home. `named` are all the ids the event names, `memory` the
    name under which its repetition is known."""

    home: str
    purpose: str
    statement: Statement
    yes: bool
    message_id: str = ""
    named: tuple[str, ...] = ()
    memory: str = ""

    @property
    def pending(self) -> str:
        """The field that holds a no until the ledger has it."""
        return f"{PENDING}{row_of_event(self.statement.source, self.message_id, self.home)}:{self.purpose}"


class Batch(msgspec.Struct, frozen=True):
    """Everything some records do to their partition. `before` is the watermark they build on, `records` are their
    positions and bytes in order, one after the other without a gap. `generation` is how often the partition had been
    rebuilt when its fragments were read: a later rebuild refuses the batch. `wiped` says which homes were erased, and
    whether (1) or not (0) anything was there: their consent goes, before what the batch itself says is written."""

    before: Position
    records: Sequence[tuple[Position, bytes]]
    applied: int
    fragments: Mapping[str, Stored]
    counts: Mapping[str, int]
    decisions: Mapping[str, bytes]
    said: Sequence[Said]
    claims: Sequence[Claim]
    generation: int = 0
    wiped: Mapping[str, int] = {}

    @property
    def position(self) -> Position:
        return self.records[-1][0]


class Applied(msgspec.Struct, frozen=True):
    """The script's word: whether the batch was taken (else the watermark found), tail length, news."""

    taken: bool
    found: Position
    tail: int = 0
    heard: tuple[Said, ...] = ()


_SAID = msgspec.msgpack.Decoder(tuple[Said, ...])


class OutboxEntry(msgspec.Struct, frozen=True):
    """The link claims of one batch, at its last record, waiting to be recorded."""

    position: Position
    claims: tuple[Claim, ...]


class TailEntry(msgspec.Struct, frozen=True):
    """One applied record that is not archived yet."""

    position: Position
    applied: int
    raw: bytes


class TailLost(Exception):
    """The partition's keys are not what this code writes."""


class PartitionStore:
    """The write side of partitions; one instance serves all of a worker's partitions."""

    def __init__(self, redis: RedisClient, decision_ttl_s: int = 3600) -> None:
        self._redis = redis
        self._ttl = decision_ttl_s
        self._apply = redis.register_script(_APPLY)
        self._incarnation = redis.register_script(_INCARNATION)

    async def incarnation(self, cluster_id: str) -> int:
        """The running number of this log; a cluster id never seen before gets the next one."""
        return int(await self._incarnation(keys=[INCARNATIONS], args=[cluster_id]))

    async def claim_partitions(self, partitions: int) -> int:
        """Record the number of partitions at first start; returns the number on record."""
        await self._redis.set(PARTITIONS, partitions, nx=True)
        return int(await self._redis.get(PARTITIONS) or partitions)

    async def beat(self, name: str) -> None:
        """A sign of life that lasts a few seconds."""
        await self._redis.set(f"rapport:alive:{name}", 1, ex=BEAT_SECONDS)

    async def alive(self, name: str) -> bool:
        return bool(await self._redis.exists(f"rapport:alive:{name}"))

    async def note_paused(self, partition: int, seconds: float) -> None:
        """Say for so long that a partition pauses, because most of its events are rejected."""
        await self._redis.set(f"rapport:paused:{partition}", 1, px=int(seconds * 1000) + 1000)

    async def paused(self, partitions: int) -> list[int]:
        """The partitions that pause now."""
        found = [await self._redis.exists(f"rapport:paused:{partition}") for partition in range(partitions)]
        return [partition for partition, there in enumerate(found) if there]

    async def watermark(self, partition: int) -> Position:
        """Where the partition stands; (0, partition, -1) if it never began."""
        found = await self._redis.hmget(watermark_key(partition), ["i", "o"])
        return Position(int(found[0] or 0), partition, int(found[1]) if found[1] is not None else -1)

    async def generation(self, partition: int) -> int:
        """How often a rebuild replaced fragments of the partition."""
        return int(await self._redis.hget(watermark_key(partition), "g") or 0)

    async def batch_began(self, partition: int) -> int:
        """The offset of the first record that was applied together with the one at the watermark; -1 if none was."""
        found = await self._redis.hmget(watermark_key(partition), ["f", "o"])
        return int(next((value for value in found if value is not None), -1))

    async def heard(self, partition: int) -> tuple[Said, ...]:
        """The news of consent in the batch at the watermark."""
        return _heard(await self._redis.hget(watermark_key(partition), "n"))

    async def note_skipped(self, partition: int) -> None:
        """Count a record that came again after it was applied."""
        await self._redis.hincrby(watermark_key(partition), "skipped", 1)

    async def counters(self, partition: int) -> dict[str, int]:
        """How often the partition skipped a record that came again, and refused a worker that was behind."""
        found = await self._redis.hmget(watermark_key(partition), COUNTERS)
        return {name: int(value or 0) for name, value in zip(COUNTERS, found, strict=True)}

    async def load(self, partition: int, homes: Sequence[str]) -> dict[str, Stored]:
        if not homes:
            return {}
        raws = await self._redis.mget([fragment_key(partition, home) for home in homes])
        return {home: unpack(raw) for home, raw in zip(homes, raws, strict=True) if raw is not None}

    async def apply(self, batch: Batch) -> Applied:
        partition = batch.position.partition
        keys = [watermark_key(partition), tail_key(partition), outbox_key(partition), counts_key(partition)]
        keys += [fragment_key(partition, home) for home in batch.fragments]
        keys += [decision_key(partition, decision_id) for decision_id in batch.decisions]
        keys += [consent_key(partition, said.home) for said in batch.said]
        for home in batch.wiped:
            keys += [consent_key(partition, home), wiped_key(partition, home)]
        answer = await self._apply(keys=keys, args=self._arguments(batch))
        if answer[0] == 0:
            return Applied(False, Position(int(answer[1]), partition, int(answer[2])))
        return Applied(True, batch.position, int(answer[1]), _heard(answer[2]))

    def _arguments(self, batch: Batch) -> list[str | bytes | int]:
        arguments: list[str | bytes | int] = [
            batch.before.incarnation,
            batch.before.offset,
            batch.position.incarnation,
            batch.position.offset,
            len(batch.fragments),
            len(batch.counts),
            len(batch.decisions),
            batch.applied,
            len(batch.records),
            batch.generation,
            len(batch.wiped),
            *batch.wiped.values(),
        ]
        arguments += [pack(stored) for stored in batch.fragments.values()]
        for name, count in batch.counts.items():
            arguments += [name, count]
        for data in batch.decisions.values():
            arguments += [data, self._ttl]
        for said in batch.said:
            explicit = "1" if said.statement.explicit else "0"
            change, who = ConsentChange({said.purpose: said.statement}), said.statement.source
            waiting = encode_pending(Pending(batch.applied, change, who))
            arguments += [said.memory or said.purpose, "1" if said.yes else "0", explicit, said.pending, waiting]
            arguments.append(_ENCODER.encode(said))
        for position, raw in batch.records:
            arguments += [position.offset, raw]
        arguments.append(_ENCODER.encode(tuple(batch.claims)) if batch.claims else b"")
        return arguments

    async def outbox(self, partition: int, after: Position | None = None, count: int = 100) -> list[OutboxEntry]:
        start = "-" if after is None else f"({after.incarnation}-{after.offset}"
        entries = await self._redis.xrange(outbox_key(partition), min=start, count=count)
        return [OutboxEntry(_position(partition, raw), _CLAIMS.decode(fields[b"c"])) for raw, fields in entries]

    async def trim_outbox(self, upto: Position) -> None:
        await self._redis.xtrim(outbox_key(upto.partition), minid=_after(upto), approximate=False)

    async def tail(self, partition: int, count: int, after: Position | None = None) -> list[TailEntry]:
        """The oldest applied records that are not archived, in applied order, optionally only those behind `after`."""
        start = "-" if after is None else f"({after.incarnation}-{after.offset}"
        try:
            entries = await self._redis.xrange(tail_key(partition), min=start, count=count)
        except ResponseError as error:
            raise TailLost(str(error)) from error
        return [TailEntry(_position(partition, raw), int(fields[b"t"]), fields[b"r"]) for raw, fields in entries]

    async def trim_tail(self, upto: Position) -> int:
        """Forget what is archived, up to and including `upto`; returns how many records went."""
        return int(await self._redis.xtrim(tail_key(upto.partition), minid=_after(upto), approximate=False))

    async def tail_length(self, partition: int) -> int:
        return int(await self._redis.xlen(tail_key(partition)))

    async def counts(self, partition: int) -> dict[str, int]:
        """Cross-profile counters of one partition: `action|segment|outcome` -> count."""
        return {k.decode(): int(v) for k, v in (await self._redis.hgetall(counts_key(partition))).items()}


def _heard(raw: bytes | None) -> tuple[Said, ...]:
    return _SAID.decode(raw) if raw else ()


def _position(partition: int, raw: bytes) -> Position:
    incarnation, _, offset = raw.decode().partition("-")
    return Position(int(incarnation), partition, int(offset))


def _after(position: Position) -> str:
    return f"{position.incarnation}-{position.offset + 1}"
