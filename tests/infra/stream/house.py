"""Both stations, the archiver and the erasure jobs over one Redis and one directory: what erasing is tried on."""

from pathlib import Path
from typing import Any

from engine.erasure import forget_event
from engine.erasure_job import Job
from engine.events import Event
from engine.replay import replay
from infra.archive import iterate
from infra.archiver import Archiver
from infra.erasure_process import open_erasures
from infra.processes import RunningServer
from infra.settings import Settings
from tests.infra.stream.bed import RULES, START, Bed, event, id_of, record
from tests.servers import database

DATABASE = 11
ANN, BOB = id_of("user_id", "ann"), id_of("user_id", "bob")
COOKIE, MAIL = id_of("anonymous_id", "cookie"), id_of("email", "ann@example.org")
MINUTE = 60_000
BEFORE = START + 30 * MINUTE


class House:
    """Both stations over one log each, the archiver behind them, and the job's table."""

    def __init__(self, bed: Bed, server: RunningServer, home: Path) -> None:
        self.bed = bed
        self.settings = Settings(
            redis_url=database(server.url, DATABASE), data_dir=home, partitions=1, lateness_days=3650
        )
        self.partition, self.relation = bed.partition(), bed.relation()
        self.archiver = Archiver(self.settings, bed.clock)
        self.jobs = open_erasures(self.settings)
        self.events = self.links = 0

    async def feed(self, *events: Event) -> None:
        """One record of events; its claims stay in the outbox."""
        await self.partition.take(self.events, record(*events))
        self.events += 1

    async def relate(self) -> None:
        """Everything in the outbox to identity, and what it sends back to the partition."""
        if await self.bed.store.outbox(0):
            await self.relation.take(self.links, await self.bed.link_record())
            self.links += 1
        sent, self.bed.appended[:] = list(self.bed.appended), []
        if sent:
            await self.feed(*sent)

    async def ask(self, home: str = ANN, kind: str = "user_id", job: str = "job-1", before: int = BEFORE) -> None:
        now = before - 2000
        await self.jobs.save(Job(job, home, kind, "desk", "test", now, before))
        await self.feed(forget_event((home, kind), job, now, before))

    async def finish(self, job: str = "job-1") -> Job:
        for _ in range(4):
            await self.relate()
            await self.archiver.round()
        found = await self.jobs.find(job)
        assert found is not None
        return found

    async def replayed(self) -> dict[str, Any]:
        """The archive folded again: what live must equal."""
        return dict(replay((one for _, _, _, one in iterate(self.settings.archive)), RULES))

    async def live(self) -> dict[str, Any]:
        found = await self.bed.store.load(0, [ANN, BOB, COOKIE, MAIL])
        return {home: stored.fragment for home, stored in found.items()}


def rows(job: Job) -> dict[str, int]:
    return {one.store: one.rows for one in job.stores}


async def grown(house: House) -> None:
    """Ann with a cookie of her own and an e-mail, and Bob, who is somebody else."""
    await house.feed(event("identify", anonymousId="cookie", traits={"email": "ann@example.org"}, minute=1))
    await house.feed(event(userId=None, anonymousId="cookie", messageId="c", minute=2), event(user="bob", minute=3))
    await house.relate()
