"""Everybody is published anew where the policy is another one than they were published under: it decides what a row may
hold, and nothing happens to most people for a long time. Knows which fragments there are; nothing of what the policy
says."""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

import msgspec

from engine.consent import Purposes
from engine.jurisdiction import Controller
from infra.redis_store import RedisClient, Runs
from infra.topics import fragment_key

log = logging.getLogger("rapport.publish")
PUBLISHED_UNDER = "rapport:published:policy"
TOGETHER = 200
Derive = Callable[[Sequence[str]], Awaitable[None]]


def digest_of_policy(purposes: Purposes) -> str:
    """Of everything that may decide whether something is open; who is answerable does not."""
    said = msgspec.structs.replace(purposes, controller=Controller())
    return hashlib.blake2b(msgspec.json.encode(said, order="deterministic"), digest_size=16).hexdigest()


class Everybody:
    """Whoever is stored. `derive` publishes whom these ids belong to."""

    def __init__(self, redis: RedisClient, runs: Runs, derive: Derive) -> None:
        self._redis = redis
        self._runs = runs
        self._derive = derive

    async def begin(self, policy: str, untouched: Collection[int]) -> None:
        """In these partitions nobody is published yet: whoever comes there is published under this policy."""
        for partition in untouched:
            await self._redis.hsetnx(PUBLISHED_UNDER, str(partition), policy)

    async def edited(self, partitions: Collection[int]) -> None:
        """The policy is another one now, if only for a moment: nobody in these partitions counts as published under
        any, since what happened meanwhile was."""
        if partitions:
            await self._redis.hdel(PUBLISHED_UNDER, *map(str, partitions))

    async def follow(self, policy: str, partitions: Collection[int], stands: Callable[[], bool]) -> int:
        """Publish those in these partitions that were not published under this policy yet; returns how many
        fragments they were. It takes half of the time at most, the rest is for what happens. It is to be done again
        where the policy no longer `stands` at its end, or Redis began anew: that gives other keys then."""
        under = {int(partition): digest.decode() for partition, digest in (await self._under()).items()}
        due = [partition for partition in partitions if under.get(partition) != policy]
        if not due:
            return 0
        await self.edited(due)
        count, met = 0, set(self._runs.seen)
        async for some in self._stored(due):
            began = time.monotonic()
            await self._derive(some)
            count += len(some)
            await asyncio.sleep(time.monotonic() - began)
        if stands() and self._runs.seen == met:
            await self._redis.hset(PUBLISHED_UNDER, mapping=dict.fromkeys(map(str, due), policy))
        if count:
            log.info("published %d identifiers under the policy as it is now", count)
        return count

    async def _under(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = await self._redis.hgetall(PUBLISHED_UNDER)
        return found

    async def _stored(self, partitions: Collection[int]) -> AsyncIterator[list[str]]:
        leads = tuple(fragment_key(partition, "") for partition in partitions)
        some: list[str] = []
        async for key in self._redis.scan_iter("{p*}f:*", TOGETHER * 5):
            named = key.decode()
            if named.startswith(leads):
                some.append(named.partition("}f:")[2])
            if len(some) == TOGETHER:
                yield some
                some = []
        if some:
            yield some
