"""Erasure jobs and their certificates in SQL, so that they outlive every process. Knows tables; nothing of erasing."""

from collections.abc import Mapping, Sequence
from typing import ParamSpec, TypeVar

import msgspec
from sqlalchemy import BigInteger, Column, ColumnElement, String, Table, Text, delete, insert, select, update
from sqlalchemy.engine import Engine

from engine.erasure_job import COMPLETED, Job
from infra.ledger_store_tables import METADATA, answered
from infra.ledger_store_versions import up_to_date

P = ParamSpec("P")
T = TypeVar("T")
_JOBS = Table(
    "erasures",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("requested_at", BigInteger, nullable=False, index=True),
    Column("before", BigInteger, nullable=False, index=True),
    Column("status", String(16), nullable=False, index=True),
    Column("document", Text, nullable=False),
)
_JOB = msgspec.json.Decoder(Job)


class SqlErasures:
    """`engine.erasure_job.Erasures`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        up_to_date(engine)

    async def save(self, job: Job) -> None:
        """Keep the job as it is now."""
        await answered(self._save, job)

    async def find(self, job_id: str) -> Job | None:
        found = await answered(self._where, _JOBS.c.id == job_id)
        return next(iter(found), None)

    async def drop(self, job_id: str) -> None:
        await answered(self._drop, job_id)

    async def unfinished(self) -> Sequence[Job]:
        """Everything asked for that is not completed, oldest first."""
        return await answered(self._where, _JOBS.c.status != COMPLETED)

    async def suppressed(self, since: int) -> Mapping[str, int]:
        """For every id that was erased at `since` (ms) or later: what is dated before which moment (ms) is gone."""
        reached: dict[str, int] = {}
        jobs = await answered(self._where, _JOBS.c.before >= since)
        for job in jobs:
            for identity in job.identifiers:
                reached[identity] = max(reached.get(identity, 0), job.before)
        return reached

    async def forget_ids(self, until: int) -> int:
        """Take the ids out of certificates of erasures older than `until` (ms): nothing late can come any more."""
        jobs = await answered(self._where, (_JOBS.c.before < until) & (_JOBS.c.status == COMPLETED))
        old = [job for job in jobs if job.identifiers or job.subject]
        for job in old:
            await self.save(msgspec.structs.replace(job, identifiers=(), subject=""))
        return len(old)

    def _save(self, job: Job) -> None:
        row = {"requested_at": job.requested_at, "before": job.before, "status": job.status}
        row |= {"document": msgspec.json.encode(job).decode()}
        with self._engine.begin() as connection:
            changed = connection.execute(update(_JOBS).where(_JOBS.c.id == job.id).values(row))
            if not changed.rowcount:
                connection.execute(insert(_JOBS).values(id=job.id, **row))

    def _drop(self, job_id: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(_JOBS).where(_JOBS.c.id == job_id))

    def _where(self, wanted: ColumnElement[bool]) -> Sequence[Job]:
        with self._engine.connect() as connection:
            rows = connection.execute(select(_JOBS.c.document).where(wanted).order_by(_JOBS.c.requested_at)).all()
        return [_JOB.decode(row.document) for row in rows]
