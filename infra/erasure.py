"""Carries erasures out behind the stream: waits until every member's partition and the archive have met the erase
records, takes the person out of every other store, and writes the certificate. Safe to do again at any point."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from engine.erasure import Forgotten, forget_event, known_until
from engine.erasure_job import COMPLETED, IN_PROGRESS, PENDING, Eraser, Job, LogEnd, TrainedOn
from engine.events import Event
from infra.archive_erasure import Survey, drop_events, drop_links, has_met, survey
from infra.ledger_store_erasures import SqlErasures
from infra.redis_store_erasure import ErasureStore

log = logging.getLogger("rapport.erasure")
# small installations' files are done by then, and the erasure is completed in the same round
PATIENCE_SECONDS = 2.0
# a wish whose record may be lost (its process died in between) is sent again after so long
UNHEARD_MS = 15_000
SWEEP_MS = 3_600_000
REJECTED = "those that name one of the ids; what nobody could read stays in its topic until its retention ends"


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Everything an erasure reaches. `erasers` know no archive; `trained` gives each model version's data period;
    `anew` lets the servers' files forget what was deleted, and says per store what became of them; `ends` says when
    the log forgets; `send` appends a wish again."""

    archive: str
    jobs: SqlErasures
    store: ErasureStore
    erasers: Sequence[Eraser]
    trained: Callable[[], Mapping[str, tuple[int, int]]]
    anew: Callable[[], Awaitable[Mapping[str, str]]]
    ends: Callable[[int], Awaitable[tuple[LogEnd, ...]]]
    send: Callable[[Event], Awaitable[None]]
    clock: Callable[[], int]
    lateness_ms: int


@dataclass(frozen=True)
class Writing:
    """The files being written anew. They forget whom the stores forgot before that began: `emptied`, by job."""

    emptied: Mapping[str, Forgotten]
    files: asyncio.Future[Mapping[str, str]]


class Erasing:
    """The process's erasures. `suppressed` says what late events must not be archived: id -> ms. A round waits
    `patience` seconds for the servers' files; what takes longer goes on beside the rounds, until `end`."""

    def __init__(self, reach: Reach, patience: float = PATIENCE_SECONDS) -> None:
        self._reach, self._patience = reach, patience
        self._loaded_at: int | None = None
        self._emptied: dict[str, Forgotten] = {}
        self._writing: Writing | None = None
        self.suppressed: dict[str, int] = {}

    def is_suppressed(self, event: Event) -> bool:
        """Whether the event is a late one of somebody erased: nothing of it is kept."""
        return event.at < self.suppressed.get(event.home, 0)

    async def load(self) -> None:
        """Learn whom to keep out, and once an hour forget of whom nothing can be late any more."""
        now = self._reach.clock()
        if self._loaded_at is None or now - self._loaded_at > SWEEP_MS:
            since = now - self._reach.lateness_ms
            await self._reach.jobs.forget_ids(since)
            self.suppressed = dict(await self._reach.jobs.suppressed(since))
            self._loaded_at = now

    async def round(self) -> int:
        """Take every erasure as far as it goes now; returns how many were completed."""
        await self.load()
        waiting = await self._reach.store.waiting()
        jobs = {job.id: job for job in await self._reach.jobs.unfinished()}
        for missing in sorted(set(waiting) - jobs.keys()):
            found = await self._reach.jobs.find(missing)
            jobs |= {} if found is None else {missing: found}
        emptied = {job.id: done for job in jobs.values() if (done := await self._advance(job)) is not None}
        self._emptied = {name: one for name, (_, one) in emptied.items()}
        return await self._finish({name: job for name, (job, _) in emptied.items()})

    async def end(self) -> None:
        """Leave the files as they are; whoever carries the erasures out next lets them be written anew."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.files.cancel()
            await asyncio.gather(writing.files, return_exceptions=True)

    async def _finish(self, jobs: Mapping[str, Job]) -> int:
        """Complete those that the files forgot, and let the files be written anew for the others: once for all of them,
        because it takes as long as the files are."""
        completed = await self._complete_written(jobs)
        if self._emptied and self._writing is None:
            files = asyncio.ensure_future(self._reach.anew())
            self._writing = Writing(dict(self._emptied), files)
            await asyncio.wait([files], timeout=self._patience)
            completed += await self._complete_written(jobs)
        return completed

    async def _complete_written(self, jobs: Mapping[str, Job]) -> int:
        """How many of these could be completed, because files written anew since they were emptied are done."""
        if self._writing is None or not self._writing.files.done():
            return 0
        writing, self._writing = self._writing, None
        files, completed = writing.files.result(), 0
        for name, one in writing.emptied.items():
            # an erasure that reached somebody else meanwhile was emptied again
            if self._emptied.get(name) == one:
                completed += await self._complete(jobs[name], one, files)
                del self._emptied[name]
        return completed

    async def _advance(self, job: Job) -> tuple[Job, Forgotten] | None:
        """The erasure, once every store is emptied."""
        one = await self._reach.store.forgotten(job.id)
        if one is None:
            await self._again(job)
            return None
        if job.status == COMPLETED and set(job.identifiers) == one.members.keys():
            await self._told_again(one)
            return None
        if job.status != IN_PROGRESS or set(job.identifiers) != one.members.keys():
            started = job.started_at or self._reach.clock()
            ids = tuple(sorted(one.members))
            job = msgspec.structs.replace(job, status=IN_PROGRESS, identifiers=ids, started_at=started)
            await self._reach.jobs.save(job)
        self.suppressed |= {i: max(one.at, self.suppressed.get(i, 0)) for i in one.members}
        if self._emptied.get(job.id) == one:
            return job, one
        if not await self._reach.store.emptied(one):
            return None
        if not await asyncio.to_thread(has_met, self._reach.archive, one):
            return None
        done = await self._carry_out(job, one)
        if done is not None:
            self._emptied[job.id] = one
        return done

    async def _told_again(self, one: Forgotten) -> None:
        """A late link reached nobody new: only the archive's copy of it goes."""
        if await asyncio.to_thread(drop_links, self._reach.archive, one) is not None:
            await self._reach.store.done(one)

    async def _again(self, job: Job) -> None:
        """Identity has not met the wish: it is on its way, or died with the process that was to send it."""
        now = self._reach.clock()
        if job.status == PENDING and now - job.requested_at > UNHEARD_MS and now - job.before < self._reach.lateness_ms:
            await self._reach.send(forget_event((job.subject, job.subject_type), job.id, now, job.before))

    async def _carry_out(self, job: Job, one: Forgotten) -> tuple[Job, Forgotten] | None:
        reach = self._reach
        found = await asyncio.to_thread(survey, reach.archive, one)
        links = await asyncio.to_thread(drop_links, reach.archive, one)
        if links is None:
            return None
        job = await self._certify(job, one, found)
        for eraser in reach.erasers:
            job = await self._kept(job, eraser.name, await eraser.erase(sorted(one.members), one.at))
        # a refusal on its way to every identifier, or restored from the ledger, may have come after the erase record
        job = await self._kept(job, "consent keys", await reach.store.sweep_consent(one))
        dropped = await reach.store.drop_decisions(found.decisions)
        job = await self._kept(job, "recent decisions", dropped)
        job = await self._kept(job, "links archive", links)
        gone = await asyncio.to_thread(drop_events, reach.archive, one)
        job = await self._kept(job, "archive events", gone)
        job = await self._kept(job, "decision records (of the archive's events)", min(gone, len(found.decisions)))
        job = await self._kept(job, "outcomes (of the archive's events)", min(gone, found.outcomes))
        return await self._kept(job, "rejects", 0, REJECTED), one

    async def _certify(self, job: Job, one: Forgotten, found: Survey) -> Job:
        """What can only be known while the rows are there, and what the partitions did themselves."""
        wiped = await self._reach.store.take_wiped(one.members)
        models = {model.version: model.decisions for model in job.models}
        for version, (first, last) in self._reach.trained().items():
            inside = sum(first <= at <= last for at in found.decisions.values())
            if inside:
                models[version] = models.get(version, 0) + inside
        job = msgspec.structs.replace(job, models=tuple(TrainedOn(*item) for item in sorted(models.items())))
        linked = {end for edge in one.past for end in (edge.left, edge.right)} & one.members.keys()
        job = job.with_removed("fragments", wiped["fragments"]).with_removed("consent keys", wiped["consent"])
        others = tuple(s for s in job.stores if s.store != "identity index")
        job = msgspec.structs.replace(job, stores=others).with_removed("identity index", len(linked))
        await self._reach.jobs.save(job)
        return job

    async def _kept(self, job: Job, store: str, rows: int, note: str = "") -> Job:
        """Progress is written down at once: what is gone cannot be counted again."""
        job = job.with_removed(store, rows, note)
        await self._reach.jobs.save(job)
        return job

    async def _complete(self, job: Job, one: Forgotten, files: Mapping[str, str]) -> bool:
        for store, note in files.items():
            job = await self._kept(job, store, 0, note)
        if not await self._reach.store.done(one):
            return False
        now = self._reach.clock()
        ends = await self._reach.ends(now)
        await self._reach.store.forget_later(one.members, known_until(one.at, self._reach.lateness_ms))
        await self._reach.jobs.save(msgspec.structs.replace(job, status=COMPLETED, completed_at=now, log=ends))
        log.info("erasure %s is completed", job.id)
        return True
