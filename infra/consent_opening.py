"""The parts of consent put together over one Redis and one database: who reads people, who writes consent, and who
keeps Redis and ledger agreed. Chooses; knows no rule."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.consent_writing import LedgeredConsents, Tell, Truth
from infra.ledger_store_consent import ConsentLedger, open_ledger
from infra.redis_store import FAILURES, RedisClient, RedisPeople, Runs, connect
from infra.redis_store_consent import ConsentKeys
from infra.settings import Settings


@dataclass(frozen=True)
class ConsentSide:
    """What a process reads people and writes consent with. `begin` before the first read, `end` after the last."""

    redis: RedisClient
    runs: Runs
    people: RedisPeople
    consents: LedgeredConsents
    ledger: ConsentLedger
    truth: Truth
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def begin(self, tell: Tell | None = None) -> None:
        """Bring Redis up to the ledger if it is a new run of it, and keep watching; `tell` hears whose refusals were
        mended, so that what was derived from them is derived again."""
        with contextlib.suppress(*FAILURES):
            # a server that does not answer yet is asked again by the watch; until then the ledger answers
            await self.redis.ping()
        self._tasks.append(asyncio.create_task(self.truth.watch(self.consents, tell)))

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.consents.end()
        await self.ledger.close()


def open_consents(settings: Settings, clock: Callable[[], int]) -> ConsentSide:
    """Everything about consent for one process, over a connection that notices a restart of Redis."""
    runs = Runs()
    redis = connect(settings.redis_url, runs)
    ledger = ConsentLedger(open_ledger(settings.database), clock)
    return put_together(redis, runs, ledger, settings.partitions, clock)


def put_together(
    redis: RedisClient, runs: Runs, ledger: ConsentLedger, partitions: int, clock: Callable[[], int]
) -> ConsentSide:
    """The same over parts that are there already."""
    keys = ConsentKeys(redis, partitions)
    truth = Truth(keys, ledger, runs, partitions)
    people = RedisPeople(redis, partitions, truth)
    return ConsentSide(redis, runs, people, LedgeredConsents(keys, ledger, people, clock), ledger, truth)
