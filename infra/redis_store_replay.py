"""Redis as a replay compares and replaces it: fragments by home, the tails as they wait, the index, and one script that
puts a rebuilt fragment only where the one it was compared with still stands. Knows no rule of the fold."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from engine.ports import Stored
from engine.records import Position, partition_of
from infra.fragment_bytes import pack
from infra.redis_store import RedisClient, decode_index, encode_index, mget
from infra.redis_store_links import TAIL as LINK_TAIL
from infra.redis_store_stream import INCARNATIONS, PARTITIONS, TailEntry
from infra.topics import fragment_key, index_key, tail_key, watermark_key

# The partition's generation moves on with its fragments, in one step: whoever folded from the old ones is refused.
_REPLACE = """
local done = {}
for k = 2, #KEYS do
  if (redis.call('GET', KEYS[k]) or '') == ARGV[2 * k - 3] then
    redis.call('SET', KEYS[k], ARGV[2 * k - 2])
    done[#done + 1] = k - 2
  end
end
if #done > 0 then redis.call('HINCRBY', KEYS[1], 'g', 1) end
return done
"""
Key = Callable[[int, str], str]
SCAN_COUNT = 5_000
RECORDS_PER_READ = 500


class Swap(msgspec.Struct, frozen=True):
    """A rebuilt fragment, and the bytes it is to replace: what was read when it was found different (None: nothing)."""

    home: str
    held: bytes | None
    rebuilt: Stored


class ReplayStore:
    """Reads and replaces across all partitions; calls stay within one partition, so they hold on a cluster."""

    def __init__(self, redis: RedisClient, partitions: int) -> None:
        self._redis = redis
        self.partitions = partitions
        self._replace = redis.register_script(_REPLACE)

    async def marks(self, partitions: Iterable[int]) -> dict[int, Position]:
        """Where each partition stands; (0, partition, -1) where it never began."""
        wanted = list(partitions)
        pipe = self._redis.pipeline(transaction=False)
        for partition in wanted:
            pipe.hmget(watermark_key(partition), ["i", "o"])
        found = zip(wanted, await pipe.execute(), strict=True)
        return {p: Position(int(i or 0), p, int(o) if o is not None else -1) for p, (i, o) in found}

    async def homes(self, partitions: Iterable[int]) -> list[str]:
        """Every home that has a fragment, in order."""
        wanted = set(partitions)
        return sorted([home for home in await self._named("f") if partition_of(home, self.partitions) in wanted])

    async def fragments(self, homes: Sequence[str]) -> dict[str, bytes]:
        """Stored fragments as their bytes; without those that are not there."""
        return await self._values(homes, fragment_key)

    async def index(self) -> dict[str, tuple[str, ...]]:
        """The members of whoever each id belongs to, strongest first, for every id the index knows."""
        ids = await self._named("i")
        found: dict[str, tuple[str, ...]] = {}
        for start in range(0, len(ids), SCAN_COUNT):
            raws = await self._values(ids[start : start + SCAN_COUNT], index_key)
            found |= {identity: decode_index(raw)[1].members for identity, raw in raws.items()}
        return found

    async def _named(self, family: str) -> list[str]:
        keys = self._redis.scan_iter(match=f"{{p*}}{family}:*", count=SCAN_COUNT)
        return list(dict.fromkeys([key.decode().partition(":")[2] async for key in keys]))

    async def _values(self, ids: Sequence[str], key: Key) -> dict[str, bytes]:
        groups: dict[int, list[str]] = {}
        for identity in ids:
            groups.setdefault(partition_of(identity, self.partitions), []).append(identity)
        pipe = self._redis.pipeline(transaction=False)
        for partition, some in groups.items():
            mget(pipe, [key(partition, identity) for identity in some])
        answers = await pipe.execute() if groups else []
        pairs = zip(groups.values(), answers, strict=True)
        return {i: raw for some, raws in pairs for i, raw in zip(some, raws, strict=True) if raw is not None}

    async def tails(self, partitions: Iterable[int]) -> list[TailEntry]:
        """Everything applied that is not archived yet."""
        return [entry for p in partitions for entry in await self._waiting(tail_key(p), p)]

    async def link_tail(self) -> list[TailEntry]:
        """Every recorded link record that is not archived yet."""
        return await self._waiting(LINK_TAIL, 0)

    async def _waiting(self, key: str, partition: int) -> list[TailEntry]:
        found: list[TailEntry] = []
        start = "-"
        while entries := await self._redis.xrange(key, min=start, count=RECORDS_PER_READ):
            for raw, fields in entries:
                incarnation, _, offset = raw.decode().partition("-")
                position = Position(int(incarnation), partition, int(offset))
                found.append(TailEntry(position, int(fields.get(b"t", 0)), fields[b"r"]))
            start = f"({entries[-1][0].decode()}"
        return found

    async def replace(self, partition: int, swaps: Sequence[Swap]) -> list[str]:
        """Put rebuilt fragments where the old ones still stand; returns the homes it was done for."""
        keys = [watermark_key(partition), *(fragment_key(partition, swap.home) for swap in swaps)]
        arguments = [value for swap in swaps for value in (swap.held or b"", pack(swap.rebuilt))]
        return [swaps[int(n)].home for n in await self._replace(keys=keys, args=arguments)]

    async def put(self, fragments: Mapping[str, bytes]) -> None:
        """Write fragments where nobody works: into a Redis that serves nobody yet."""
        pipe = self._redis.pipeline(transaction=False)
        for home, raw in fragments.items():
            pipe.set(fragment_key(partition_of(home, self.partitions), home), raw)
        await pipe.execute()

    async def finish(self, marks: Iterable[Position], persons: Iterable[tuple[str, ...]], version: int) -> None:
        """Write index and watermarks where nobody works."""
        pipe = self._redis.pipeline(transaction=False)
        for members in persons:
            for member in members:
                pipe.set(index_key(partition_of(member, self.partitions), member), encode_index(version, members))
        for mark in marks:
            pipe.hset(
                watermark_key(mark.partition), mapping={"i": mark.incarnation, "o": mark.offset, "f": mark.offset}
            )
        pipe.set(PARTITIONS, self.partitions)
        await pipe.execute()

    async def incarnations(self) -> dict[bytes, bytes]:
        """The logs this installation has had: cluster id -> running number."""
        return dict(await self._redis.hgetall(INCARNATIONS))

    async def set_incarnations(self, known: Mapping[bytes, bytes]) -> None:
        if known:
            await self._redis.hset(INCARNATIONS, mapping=dict(known))

    async def empty(self) -> bool:
        return int(await self._redis.dbsize()) == 0
