"""Redis as the one writer of identity keeps it: verdicts by group under one slot, and the index that readers use, each
entry replaced only by a newer link version. Who belongs together, `engine.identity` says."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from engine.erasure import Forgotten
from engine.identity import Claim, Conflict, Edge, Pair, Person, pair
from engine.ports import Unavailable
from engine.records import Position, partition_of
from infra.id_bytes import pack_id
from infra.link_bytes import decode_entry, encode_group, encode_pointer
from infra.redis_store import FAILURES, RedisClient, encode_index
from infra.redis_store_erasure import ErasureStore, forgotten_values
from infra.redis_store_stream import TailEntry
from infra.topics import LINK_STATE, index_key

_COMMIT = """
local w = redis.call('HMGET', KEYS[1], 'i', 'o')
local inc, off = tonumber(w[1] or '0'), tonumber(w[2] or '-1')
if inc ~= tonumber(ARGV[1]) or off ~= tonumber(ARGV[2]) then return {0, inc, off} end
local a, k = 10, 4
for _ = 1, tonumber(ARGV[6]) do redis.call('SET', KEYS[k], ARGV[a]); k = k + 1; a = a + 1 end
for _ = 1, tonumber(ARGV[7]) do redis.call('HSET', KEYS[k], ARGV[a], ARGV[a + 1]); k = k + 1; a = a + 2 end
for _ = 1, tonumber(ARGV[8]) do redis.call('HDEL', KEYS[k], ARGV[a]); k = k + 1; a = a + 1 end
for _ = 1, tonumber(ARGV[9]) do redis.call('HSET', KEYS[2], ARGV[a], ARGV[a + 1]); a = a + 2 end
redis.call('XADD', KEYS[3], ARGV[3] .. '-' .. ARGV[4], 'r', ARGV[a], 't', ARGV[a + 1])
redis.call('HSET', KEYS[1], 'i', ARGV[3], 'o', ARGV[4], 'v', ARGV[5], 'r', ARGV[a])
return {1}
"""
_ENTRIES = """
local found = {}
for k = 1, #KEYS do found[k] = redis.call('HGET', KEYS[k], ARGV[k]) end
return found
"""
# The version leads each entry as six bytes. It is unpacked, because Lua compares text by the server's locale.
_INDEX = """
local held = redis.call('GET', KEYS[1])
if held and struct.unpack('>I6', held) >= struct.unpack('>I6', ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""
_CLAIMS = msgspec.msgpack.Decoder(tuple[Claim, ...])
_CONFLICTS = msgspec.msgpack.Decoder(tuple[Conflict, ...])
WATERMARK = f"{LINK_STATE}w"
MARKS = f"{LINK_STATE}m"
TAIL = f"{LINK_STATE}t"
CONFLICTS = f"{LINK_STATE}c"
# Ids share hashes by their first letters: 32,768 of them, so that an id costs its entry and no key of its own.
SHARED_LETTERS = 3
_SILENT = "the identity store does not answer; try again in a moment"


class LinkMark(msgspec.Struct, frozen=True):
    """Where the writer stands in the links topic, and the version its last record got."""

    position: Position
    version: int


class LinkCommit(msgspec.Struct, frozen=True):
    """One record's change of the verdicts. `groups` are whole edge sets by group id, `members` points ids at groups,
    `released` are ids of no group any more, `marks` says how far each partition's outbox is recorded, `applied` when
    (ms); `forgotten` are the erasures it changed, and `reached` says by which of them an id was reached last."""

    before: LinkMark
    after: LinkMark
    groups: Mapping[str, Sequence[Edge]]
    members: Mapping[str, str]
    gone: Sequence[str]
    marks: Mapping[int, Position]
    raw: bytes
    applied: int = 0
    released: Sequence[str] = ()
    forgotten: Mapping[str, Forgotten] = {}
    reached: Mapping[str, str] = {}


class LinkStore:
    """The write side of identity."""

    def __init__(self, redis: RedisClient, partitions: int) -> None:
        self._redis = redis
        self._partitions = partitions
        self.erasures = ErasureStore(redis, partitions)
        self._commit = redis.register_script(_COMMIT)
        self._read = redis.register_script(_ENTRIES)

    async def mark(self) -> LinkMark:
        found = await self._redis.hmget(WATERMARK, ["i", "o", "v"])
        offset = int(found[1]) if found[1] is not None else -1
        return LinkMark(Position(int(found[0] or 0), 0, offset), int(found[2] or 0))

    async def last(self) -> tuple[Claim, ...]:
        """The claims of the last record: what follows from them may not have been written yet."""
        raw = await self._redis.hget(WATERMARK, "r")
        return _CLAIMS.decode(raw) if raw else ()

    async def marks(self) -> dict[int, Position]:
        """How far each partition's outbox is recorded."""
        raw = await self._redis.hgetall(MARKS)
        pairs = {int(k): v.decode().partition("-") for k, v in raw.items()}
        return {partition: Position(int(inc), partition, int(off)) for partition, (inc, _, off) in pairs.items()}

    async def groups_of(self, identities: Sequence[str]) -> dict[str, tuple[Edge, ...]]:
        """The groups (edge sets by group id) that any of these ids is in."""
        if not identities:
            return {}
        entries = await self._entries(sorted(set(identities)))
        groups = {i: entry for i, entry in entries.items() if not isinstance(entry, str)}
        elsewhere = {entry for entry in entries.values() if isinstance(entry, str)} - groups.keys()
        more = await self._entries(sorted(elsewhere)) if elsewhere else {}
        groups |= {i: entry for i, entry in more.items() if not isinstance(entry, str)}
        return dict(sorted(groups.items()))

    async def _entries(self, identities: Sequence[str]) -> dict[str, tuple[Edge, ...] | str]:
        """What is kept under each id: the edges of the group named after it, or the name of its group."""
        keys = [_shared_key(i) for i in identities]
        raws = await self._read(keys=keys, args=[pack_id(i) for i in identities])
        return {i: decode_entry(raw) for i, raw in zip(identities, raws, strict=True) if raw is not None}

    async def commit(self, change: LinkCommit) -> bool:
        """Whether the change was taken: only if the writer stands where it believes."""
        entries = {i: encode_pointer(group) for i, group in change.members.items()}
        entries |= {g: encode_group(edges) for g, edges in change.groups.items()}
        values = forgotten_values(change.forgotten, change.reached)
        # a group's name that lives on as a member of another is no more gone than it
        gone = sorted({*change.gone, *change.released} - entries.keys())
        before, after = change.before.position, change.after
        arguments: list[Any] = [before.incarnation, before.offset, after.position.incarnation, after.position.offset]
        arguments += [after.version, len(values), len(entries), len(gone), len(change.marks), *values.values()]
        for identity, data in entries.items():
            arguments += [pack_id(identity), data]
        arguments += map(pack_id, gone)
        for partition, position in change.marks.items():
            arguments += [partition, f"{position.incarnation}-{position.offset}"]
        keys = [WATERMARK, MARKS, TAIL, *values, *map(_shared_key, entries), *map(_shared_key, gone)]
        answer = await self._commit(keys=keys, args=[*arguments, change.raw, change.applied])
        return bool(answer[0])

    async def publish(self, persons: Iterable[Person], version: int) -> None:
        """Write the index entries of whole persons, each only over an older version."""
        pipe = self._redis.pipeline(transaction=False)
        for person in persons:
            entry = encode_index(version, person.members)
            for member in person.members:
                key = index_key(partition_of(member, self._partitions), member)
                pipe.execute_command("EVAL", _INDEX, 1, key, entry)
        if len(pipe):
            await pipe.execute()

    async def note_conflicts(self, groups: Mapping[str, Sequence[Conflict]]) -> None:
        """The links that gave way, by group; an empty list clears."""
        pipe = self._redis.pipeline(transaction=False)
        for group, conflicts in groups.items():
            if conflicts:
                pipe.hset(CONFLICTS, group, msgspec.msgpack.encode(tuple(conflicts)))
            else:
                pipe.hdel(CONFLICTS, group)
        if len(pipe):
            await pipe.execute()

    async def conflicts(self) -> list[Conflict]:
        """Every link that gave way, the latest first."""
        found = [c for raw in (await self._redis.hvals(CONFLICTS)) for c in _CONFLICTS.decode(raw)]
        return sorted(found, key=lambda c: (-c.at, c.left, c.right))

    async def tail(self, count: int) -> list[TailEntry]:
        """Recorded link records that are not archived yet."""
        entries = await self._redis.xrange(TAIL, count=count)
        return [TailEntry(_position(raw), int(fields.get(b"t", 0)), fields[b"r"]) for raw, fields in entries]

    async def trim_tail(self, upto: Position) -> None:
        await self._redis.xtrim(TAIL, minid=f"{upto.incarnation}-{upto.offset + 1}", approximate=False)


class RedisIdentities:
    """`engine.ports.Identities`: what the writer keeps, read by others."""

    def __init__(self, redis: RedisClient, partitions: int) -> None:
        self._store = LinkStore(redis, partitions)

    async def edges(self, identities: Sequence[str]) -> dict[Pair, Edge]:
        try:
            groups = await self._store.groups_of(identities)
        except FAILURES as error:
            raise Unavailable(_SILENT) from error
        return {pair(edge): edge for edges in groups.values() for edge in edges}

    async def conflicts(self) -> list[Conflict]:
        try:
            return await self._store.conflicts()
        except FAILURES as error:
            raise Unavailable(_SILENT) from error


def _position(raw: bytes) -> Position:
    incarnation, _, offset = raw.decode().partition("-")
    return Position(int(incarnation), 0, int(offset))


def _shared_key(identity: str) -> str:
    return f"{LINK_STATE}g:{identity[:SHARED_LETTERS]}"
