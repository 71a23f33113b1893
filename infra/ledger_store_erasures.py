"""Erasure jobs and their certificates in SQL, so that they outlive every process; which rows of the database are a
person's; and letting a file hold nothing any more that was taken out of it. Knows tables; nothing of erasing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, ColumnElement, String, Table, Text, delete, event, insert, select, update
from sqlalchemy.engine import Engine

from engine.erasure_job import COMPLETED, Job
from engine.ports import Unavailable
from infra.ledger_store_tables import METADATA, answered
from infra.ledger_store_versions import up_to_date

AT_ONCE = 500
# writing a file anew holds up whoever writes, consent above all: a longer one is only overwritten where rows went
LONGEST_ANEW = 256 << 20
ANEW = "the file is written anew without what was deleted, and its write-ahead log is empty"
IN_PLACE = (
    "deleted rows are overwritten and the write-ahead log is empty; the file is too long to be written anew beside"
    " running work, so run VACUUM on it in a quiet hour"
)
NOT_OURS = "a server of yours: deleted rows leave its files by VACUUM, and its write-ahead log when that is recycled"
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


class SqlNames:
    """Under which keys the database holds something of a person; what it is, the tables' own readers give."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def rejects(self, identities: Sequence[str]) -> list[tuple[str, int]]:
        """(id, kept since when in ms) of each rejected event that names one of these ids, oldest first."""
        bodies, names = METADATA.tables["reject_bodies"].c, METADATA.tables["reject_names"].c
        asked = select(bodies.id, bodies.kept_at).join_from(
            bodies.id.table, names.reject.table, bodies.id == names.reject
        )
        found = await answered(self._all, asked, names.identity, identities)
        return sorted({(str(row[0]), int(row[1])) for row in found}, key=lambda one: (one[1], one[0]))

    async def opt_ins(self, identities: Sequence[str]) -> list[str]:
        """The token hashes of what was asked of these ids."""
        opt_ins = METADATA.tables["opt_ins"].c
        found = await answered(self._all, select(opt_ins.token), opt_ins.identity, identities)
        return sorted(str(row[0]) for row in found)

    def _all(self, asked: Any, column: Any, identities: Sequence[str]) -> list[Any]:
        found: list[Any] = []
        with self._engine.connect() as connection:
            for start in range(0, len(identities), AT_ONCE):
                found += connection.execute(asked.where(column.in_(identities[start : start + AT_ONCE]))).all()
        return found


def overwriting(engine: Engine) -> Engine:
    """The same engine; where it is on a SQLite file, what it deletes is overwritten with zeros."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _overwrite)
        # connections of before do not know
        engine.dispose()
    return engine


def _overwrite(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA secure_delete=ON")


async def file_anew(engine: Engine, longest: int = LONGEST_ANEW) -> str:
    """Let a SQLite file of up to `longest` bytes, and the log beside it, hold nothing that was deleted; returns what
    became of it, in words. Raises `Unavailable` while somebody else is in the middle of it."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or not name:
        return NOT_OURS
    return await answered(_anew, engine, short=Path(name).stat().st_size <= longest)


def _anew(engine: Engine, *, short: bool) -> str:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if short:
            connection.exec_driver_sql("VACUUM")
        # SQLite waits for readers as long as the driver lets it, then says 1: busy
        busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
    if busy:
        raise Unavailable("the database's write-ahead log is being read; it is emptied in a moment")
    return ANEW if short else IN_PLACE
