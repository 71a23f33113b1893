"""Redis as erasures need it: whom each reached and until when that is remembered, what is still to be done, and the
keys of a person that no station writes again. Who is reached, `engine.erasure` says."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from engine.erasure import Forgotten, neighbours
from engine.ports import Unavailable
from engine.records import partition_of
from infra.fragment_bytes import unpack
from infra.redis_store import RedisClient, decode_index
from infra.topics import LINK_STATE, consent_key, decision_key, fragment_key, index_key, wiped_key

_FORGOTTEN = msgspec.msgpack.Decoder(Forgotten)
WAITING = f"{LINK_STATE}q"
REWRITE_SECONDS, LOOK_SECONDS, AGAIN_SECONDS = 300.0, 0.05, 1.0
ANEW = "the append-only file is written anew and holds what is kept now"
NOT_OURS = "a server of yours: its append-only file and snapshots hold what was deleted until they are written anew"
# A key that changed in the meantime is somebody's again and stays.
_EXPIRE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIREAT', KEYS[1], ARGV[2]) end return 0"


def forgotten_key(job: str) -> str:
    return f"{LINK_STATE}e:{job}"


def reached_key(identity: str) -> str:
    return f"{LINK_STATE}j:{identity}"


def near_key(identity: str) -> str:
    return f"{LINK_STATE}n:{identity}"


def forgotten_values(forgotten: Mapping[str, Forgotten], pointed: Mapping[str, str]) -> dict[str, bytes]:
    """The keys that keep these erasures, and for each id which erasure reached it last."""
    values = {forgotten_key(job): msgspec.msgpack.encode(one) for job, one in forgotten.items()}
    return values | {reached_key(identity): job.encode() for identity, job in pointed.items()}


class ErasureStore:
    """What is remembered of erasures."""

    def __init__(self, redis: RedisClient, partitions: int) -> None:
        self._redis = redis
        self._partitions = partitions

    async def touching(self, identities: Sequence[str], jobs: Iterable[str] = ()) -> dict[str, Forgotten]:
        """The erasures that reached any of these ids or somebody linked to them then, and those of these jobs."""
        found: set[bytes] = set()
        if identities:
            pointed, near = await asyncio.gather(
                self._redis.mget([reached_key(i) for i in identities]),
                self._redis.sunion([near_key(i) for i in identities]),
            )
            found = {raw for raw in pointed if raw} | near
        wanted = sorted({raw.decode() for raw in found} | set(jobs))
        raws = await self._redis.mget([forgotten_key(job) for job in wanted]) if wanted else []
        return {job: _FORGOTTEN.decode(raw) for job, raw in zip(wanted, raws, strict=True) if raw}

    async def forgotten(self, job: str) -> Forgotten | None:
        """Whom this erasure reached so far; None before identity met it, and when it is no longer remembered."""
        raw = await self._redis.get(forgotten_key(job))
        return _FORGOTTEN.decode(raw) if raw else None

    async def note(self, forgotten: Iterable[Forgotten], lateness_ms: int) -> None:
        """Put erasures on the list of what is to be done, and let them be forgotten when nothing can be late."""
        pipe = self._redis.pipeline(transaction=False)
        for one in forgotten:
            until = one.at + lateness_ms
            pipe.sadd(WAITING, one.job)
            for key in map(near_key, neighbours(one)):
                pipe.sadd(key, one.job)
                # of several erasures the latest says how long it is kept
                pipe.pexpireat(key, until, nx=True)
                pipe.pexpireat(key, until, gt=True)
            for key in (forgotten_key(one.job), *map(reached_key, one.members)):
                pipe.pexpireat(key, until)
        if len(pipe):
            await pipe.execute()

    async def waiting(self) -> list[str]:
        """The jobs that reached somebody since they were last carried out."""
        return sorted(raw.decode() for raw in await self._redis.smembers(WAITING))

    async def done(self, one: Forgotten) -> bool:
        """Take a job off the list; False if it has reached somebody else in the meantime."""
        await self._redis.srem(WAITING, one.job)
        if await self.forgotten(one.job) in (one, None):
            return True
        await self._redis.sadd(WAITING, one.job)
        return False

    async def emptied(self, one: Forgotten) -> bool:
        """Whether every member's partition has met its erase record."""
        for start in range(0, len(one.members), 200):
            pipe = self._redis.pipeline(transaction=False)
            for member in list(one.members)[start : start + 200]:
                pipe.get(fragment_key(partition_of(member, self._partitions), member))
            for raw in await pipe.execute():
                if raw is None or unpack(raw).fragment.erased < one.at:
                    return False
        return True

    async def take_wiped(self, members: Iterable[str]) -> dict[str, int]:
        """What the partitions took away themselves, fragments and consent keys; it is told once."""
        total = {"fragments": 0, "consent": 0}
        for member in members:
            key = wiped_key(self._place(member), member)
            found = await self._redis.hgetall(key)
            await self._redis.delete(key)
            for name in total:
                total[name] += int(found.get(name.encode(), 0))
        return total

    async def sweep_consent(self, one: Forgotten) -> int:
        """Take away consent of members where nobody new lives; returns how many keys were there."""
        gone = 0
        for member in one.members:
            raw = await self._redis.get(fragment_key(self._place(member), member))
            if raw is not None and not unpack(raw).fragment.state.count:
                gone += int(await self._redis.delete(consent_key(self._place(member), member)))
        return gone

    async def drop_decisions(self, decisions: Iterable[str]) -> int:
        """Take recent decisions away; returns how many were there."""
        gone = 0
        for named in decisions:
            gone += int(await self._redis.delete(decision_key(self._place(named.partition(".")[0]), named)))
        return gone

    async def forget_later(self, members: Iterable[str], until: int) -> None:
        """Let what only suppresses go at `until` (ms), unless somebody new lives there by then."""
        for member in members:
            place = self._place(member)
            raw = await self._redis.get(fragment_key(place, member))
            if raw is not None and not unpack(raw).fragment.state.count:
                await self._expire(fragment_key(place, member), raw, until)
            index = await self._redis.get(index_key(place, member))
            if index is not None and decode_index(index)[1].members == (member,):
                await self._expire(index_key(place, member), index, until)

    async def _expire(self, key: str, held: bytes, until: int) -> None:
        await self._redis.eval(_EXPIRE, 1, key, held, until)

    def _place(self, identity: str) -> int:
        return partition_of(identity, self._partitions)


async def file_anew(redis: RedisClient, home: Path, seconds: float = REWRITE_SECONDS) -> str:
    """Let the Redis whose files are in `home` write its append-only file anew, so that it holds what is kept now and no
    deleted value; returns what became of it, in words. A Redis with its files elsewhere is left alone. Raises
    `Unavailable` where that is refused or not done after so many seconds."""
    if not await _is_at(redis, home):
        return NOT_OURS
    until = time.monotonic() + seconds
    while not await _begun(redis, until):
        if time.monotonic() > until:
            raise Unavailable("Redis refuses to write its append-only file anew; see its log: it may lack memory")
        # it forks for every try
        await asyncio.sleep(AGAIN_SECONDS)
    if (await _rewritten(redis, until))["aof_last_bgrewrite_status"] != "ok":
        raise Unavailable("Redis could not write its append-only file anew; see whether its disk is full")
    return ANEW


async def _is_at(redis: RedisClient, home: Path) -> bool:
    try:
        found = await redis.config_get("dir")
    except ResponseError:
        return False  # a service that keeps its settings to itself is not one of ours
    place = found.get("dir")
    return isinstance(place, str) and Path(place).resolve() == home.resolve()


async def _begun(redis: RedisClient, until: float) -> bool:
    """Whether a rewriting began now: one that was under way holds what was there when it began. It does not where
    another one came first, and where Redis cannot or may not."""
    await _rewritten(redis, until)
    try:
        await redis.bgrewriteaof()
    except ResponseError:
        return False
    return True


async def _rewritten(redis: RedisClient, until: float) -> dict[str, Any]:
    """How Redis stands as soon as no rewriting is under way."""
    while True:
        said: dict[str, Any] = await redis.info("persistence")
        if not said["aof_rewrite_in_progress"] and not said["aof_rewrite_scheduled"]:
            return said
        if time.monotonic() > until:
            raise Unavailable("Redis is still writing its append-only file anew; looked for again in a moment")
        await asyncio.sleep(LOOK_SECONDS)
