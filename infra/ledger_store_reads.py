"""The audit of reads in SQL, written in batches beside the requests. Knows the table and when to write; nothing of who
may read what."""

import asyncio
import contextlib
import logging

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, insert, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from engine.audit import Read, Sought
from engine.ports import Unavailable
from infra.ledger_store_tables import METADATA, answered
from infra.ledger_store_versions import up_to_date

log = logging.getLogger("rapport.audit")
WRITE_SECONDS = 0.5
# more lines than this wait only when the database has not answered for long
MOST_WAITING = 20_000
AT_ONCE = 1000
LAST_TRIES = 10
_READS = Table(
    "reads",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String(100), nullable=False, index=True),
    Column("role", String(32), nullable=False),
    Column("what", String(32), nullable=False),
    Column("purposes", Text, nullable=False),
    Column("profile_id", String(64), nullable=False, index=True),
)


def _row(read: Read) -> dict[str, object]:
    return {
        "at": read.at,
        "who": read.who,
        "role": read.role,
        "what": read.what,
        "purposes": ",".join(read.purposes),
        "profile_id": read.profile_id,
    }


class SqlReads:
    """`engine.audit.Reads`. `begin` before the first line, `end` after the last."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[Read] = []
        self._writing = asyncio.Lock()
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        up_to_date(engine)

    def ready(self) -> None:
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("reads cannot be recorded at the moment, so nothing about persons is read")

    def note(self, read: Read) -> None:
        self.ready()
        self._waiting.append(read)

    async def sought(self, sought: Sought) -> list[tuple[int, Read]]:
        """This process's own lines are written first; another's come within a second."""
        await self.flush()
        return await answered(self._found, sought)

    async def begin(self) -> None:
        self._task = asyncio.create_task(self._keep_writing())

    async def end(self) -> None:
        """Write what waits. A database that stays silent leaves a line in the log saying how much was lost."""
        self._ending.set()
        if self._task is not None:
            await self._task
        for _ in range(LAST_TRIES):
            with contextlib.suppress(Unavailable):
                await self.flush()
            if not self._waiting:
                return
            await asyncio.sleep(WRITE_SECONDS)
        log.error("%d reads were not recorded: the database did not answer", len(self._waiting))

    async def flush(self) -> None:
        """Write what waits now. Raises `Unavailable`; then it waits on."""
        async with self._writing:
            while self._waiting:
                batch = self._waiting[:AT_ONCE]
                try:
                    await asyncio.to_thread(self._write, batch)
                except SQLAlchemyError as error:
                    raise Unavailable("the database does not answer; try again in a moment") from error
                del self._waiting[: len(batch)]

    async def _keep_writing(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), WRITE_SECONDS)
            try:
                await self.flush()
            except Unavailable as problem:
                log.warning("%d reads wait to be recorded: %s", len(self._waiting), problem)

    def _write(self, batch: list[Read]) -> None:
        with self._engine.begin() as connection:
            connection.execute(insert(_READS), [_row(read) for read in batch])

    def _found(self, sought: Sought) -> list[tuple[int, Read]]:
        wanted = select(_READS).order_by(_READS.c.id.desc()).limit(sought.limit)
        if sought.profile_ids:
            wanted = wanted.where(_READS.c.profile_id.in_(sought.profile_ids))
        if sought.who:
            wanted = wanted.where(_READS.c.who == sought.who)
        if sought.before:
            wanted = wanted.where(_READS.c.id < sought.before)
        with self._engine.connect() as connection:
            rows = connection.execute(wanted).all()
        return [(row.id, _read(row)) for row in rows]


def _read(row: object) -> Read:
    purposes = str(getattr(row, "purposes", ""))
    return Read(
        at=int(getattr(row, "at", 0)),
        who=str(getattr(row, "who", "")),
        role=str(getattr(row, "role", "")),
        what=str(getattr(row, "what", "")),
        purposes=tuple(p for p in purposes.split(",") if p),
        profile_id=str(getattr(row, "profile_id", "")),
    )
