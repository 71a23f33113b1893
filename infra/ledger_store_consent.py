"""The consent ledger in SQL: append-only rows, one chain, one writer at a time whatever the number of processes. Knows
tables and transactions; what a row says and what follows from it, `engine.ledger` says."""

import asyncio
import functools
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    LargeBinary,
    String,
    Table,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from engine.consent import Held
from engine.ledger import (
    ERASURE,
    Damaged,
    Draft,
    Head,
    Row,
    Saying,
    Verdict,
    admitted,
    appended,
    held_of,
    held_or_closed,
    saying_of,
    verify,
)
from engine.ports import ConsentChange, Stale, Unavailable
from infra.beside import Beside, give
from infra.ledger_store_gate import Answer, Gate, NotYet, Waiting, counts, gate_of, go_through
from infra.ledger_store_prepared import Prepared
from infra.ledger_store_tables import METADATA
from infra.ledger_store_versions import up_to_date

T = TypeVar("T")
ROWS = Table(
    "consent_ledger",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("row_id", String(200), nullable=False, unique=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("payload_hash", LargeBinary(32), nullable=False),
    Column("chain", LargeBinary(32), nullable=False),
    Column("payload", LargeBinary, nullable=True),
    Column("salt", LargeBinary(16), nullable=True),
)
# the end of the chain: what a writer locks first, and what tells that rows were cut off
_HEAD = Table(
    "consent_head",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("chain", LargeBinary(32), nullable=False),
)
AT_ONCE, PAGE, SECONDS = 400, 1000, 5
# so few subjects are asked for one by one, with a statement that is compiled already
FEW = 4
MEMORY = "sqlite://"
_END = select(_HEAD.c.seq, _HEAD.c.chain).where(_HEAD.c.id == 1)
_ASK_END, _LOCK_END = Prepared(_END), Prepared(_END.with_for_update())
_MOVE_END = Prepared(update(_HEAD).where(_HEAD.c.id == 1).values(seq=bindparam("to"), chain=bindparam("hash")))
_ASK_ROWS = Prepared(select(ROWS).where(ROWS.c.subject == bindparam("whose")).order_by(ROWS.c.seq))
_ADD_ROW = Prepared(insert(ROWS))


class Commit(msgspec.Struct, frozen=True):
    """Rows that belong together: all are written or none. `subjects` are whose answers are given back."""

    drafts: Sequence[Draft]
    subjects: Sequence[str]
    expected: dict[str, int] | None = None


def open_ledger(url: str) -> Engine:
    """The ledger's own engine on the installation's database, tables made. A commit is on disk when it returns."""
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    if url == MEMORY:
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    elif url.startswith("sqlite"):
        engine = create_engine(url, poolclass=QueuePool, pool_size=3, connect_args={"timeout": SECONDS})
    else:
        engine = create_engine(url, pool_pre_ping=True, pool_size=3)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    up_to_date(engine)
    try:
        with engine.begin() as connection:
            if connection.execute(select(_HEAD.c.seq)).first() is None:
                connection.execute(insert(_HEAD).values(id=1, seq=Head().seq, chain=Head().chain))
    except IntegrityError:
        pass  # another process made it meanwhile
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # the driver must not begin transactions on its own: ours begin with the write lock
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


class ConsentLedger:
    """The ledger behind one process. Commits that wait for each other share a transaction."""

    def __init__(self, engine: Engine, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._clock = clock
        self._reader = engine.execution_options(reads=True)
        # head and rows of one moment; SQLite's transactions see no other
        still = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        self._still = self._reader.execution_options(**still)
        in_memory = engine.url.database in (None, "", ":memory:") and engine.dialect.name == "sqlite"
        self._writing = ThreadPoolExecutor(1, "ledger")
        self._reading = self._writing if in_memory else ThreadPoolExecutor(2, "ledger-read")
        self._waiting: list[Waiting[Commit]] = []
        self._task: asyncio.Task[None] | None = None
        self._late = Beside()

    async def commit(self, wanted: Commit, counting: asyncio.Future[None] | None = None) -> dict[str, Held]:
        """Write what changes something; returns what each subject holds then, its version the number of its last row.
        With `counting` the rows are made meanwhile, and are in the ledger only once it has ended.

        Raises `Stale` where an expected version is not there any more, `Unavailable`, and what `counting` raises.
        """
        one = Waiting(wanted, asyncio.get_running_loop().create_future(), counting)
        self._queue(one)
        return await one.answered

    def _queue(self, one: Waiting[Commit]) -> None:
        self._waiting.append(one)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())

    async def _queue_late(self, one: Waiting[Commit]) -> None:
        """Nobody else waits for a serving key that takes long to answer."""
        if await counts(one):
            self._queue(one)

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            try:
                answers = await self._written(batch, gate_of(batch))
            except NotYet:
                for one in batch:
                    if not one.ready:
                        self._late.start(self._queue_late(one))
                batch = [one for one in batch if one.ready]
                answers = await self._written(batch, None)
            for one, found in zip(batch, answers, strict=True):
                give(one.answered, found)

    async def _written(self, batch: Sequence[Waiting[Commit]], gate: Gate | None) -> Sequence[Answer]:
        try:
            return await self._in(self._writing, functools.partial(self._write, [one.wanted for one in batch], gate))
        except NotYet:
            raise
        except Exception as error:  # noqa: BLE001 reason: handed to everybody who waits for this batch
            return [error for _ in batch]

    async def _in(self, pool: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, call)
        except SQLAlchemyError as error:
            raise Unavailable("the consent ledger does not answer; try again in a moment") from error

    def _write(self, batch: Sequence[Commit], gate: Gate | None) -> list[Answer]:
        """In one transaction, which ends when the gate has; raises `NotYet` where that takes too long."""
        with self._engine.begin() as connection:
            before = head = _head(connection, locked=True)
            answers: list[Answer] = []
            for wanted in batch:
                try:
                    head, held = _append(connection, head, wanted)
                except (Stale, Damaged) as refused:
                    answers.append(refused)
                else:
                    answers.append(held)
            _move(connection, before, head)
            go_through(gate)
        return answers

    async def held(self, subjects: Sequence[str]) -> dict[str, Held]:
        """What each of these identifiers holds; who never said anything is absent. Raises `Unavailable`."""
        return held_of(await self.rows(subjects))

    async def held_or_closed(self, subjects: Sequence[str]) -> dict[str, Held]:
        """The same, and whose rows cannot be read counts as restricted."""
        return held_or_closed(await self.rows(subjects))

    async def rows(self, subjects: Sequence[str]) -> list[Row]:
        """Every row under these identifiers, oldest first."""
        return await self._in(self._reading, lambda: self._read(lambda c: _rows_of(c, subjects)))

    async def head(self) -> Head:
        return await self._in(self._reading, lambda: self._read(_head))

    async def subjects_after(self, seq: int) -> list[tuple[int, str]]:
        """(number of the last row, subject) of up to a page of rows after `seq`, in order."""
        rows = select(ROWS.c.seq, ROWS.c.subject).where(ROWS.c.seq > seq).order_by(ROWS.c.seq).limit(PAGE)
        found = await self._in(self._reading, lambda: self._read(lambda c: c.execute(rows).all()))
        return [(int(row.seq), str(row.subject)) for row in found]

    def _read(self, ask: Callable[[Connection], T]) -> T:
        with self._reader.begin() as connection:
            return ask(connection)

    def verify(self, walked: Callable[[int], None] = lambda _rows: None) -> Verdict:
        """Walk the whole chain; names the first broken row. `walked` hears how many rows were read so far."""
        with self._still.begin() as connection:
            return verify(_all(connection, walked), _head(connection))

    def everything(self) -> dict[str, Held]:
        """What every identifier holds; reads the whole ledger. Whose rows cannot be read counts as restricted."""
        with self._still.begin() as connection:
            return held_or_closed(_all(connection))

    def erase_payloads(self, identities: Sequence[str]) -> int:
        """Take payload and salt out of every row of these identifiers, and append a row each that says so, which holds
        nothing personal. Returns how many rows lost their payload; doing it again changes nothing."""
        erased = 0
        with self._engine.begin() as connection:
            before = head = _head(connection, locked=True)
            for subject in dict.fromkeys(identities):
                mine = (ROWS.c.subject == subject) & ROWS.c.payload.is_not(None)
                rows = [row for row in _found(connection, select(ROWS).where(mine)) if not _says_erasure(row)]
                if not rows:
                    continue
                gone = ROWS.c.seq.in_([row.seq for row in rows])
                connection.execute(update(ROWS).where(gone).values(payload=None, salt=None))
                note = Saying(self._clock(), "erasure", ERASURE, ConsentChange())
                last = appended(head, Draft(f"x{secrets.token_hex(16)}", subject, note), secrets.token_bytes(16))
                _ADD_ROW.run(connection, **msgspec.structs.asdict(last))
                head = Head(last.seq, last.chain)
                erased += len(rows)
            _move(connection, before, head)
        return erased

    async def close(self) -> None:
        await self._late.end()
        if self._task is not None:
            await self._task
        for pool in {self._writing, self._reading}:
            pool.shutdown()
        self._engine.dispose()


def _says_erasure(row: Row) -> bool:
    """A row that cannot be read says none, so that it can be erased."""
    try:
        said = saying_of(row)
    except Damaged:
        return False
    return said is not None and said.how == ERASURE


def _head(connection: Connection, *, locked: bool = False) -> Head:
    row = (_LOCK_END if locked else _ASK_END).run(connection).one()
    return Head(int(row.seq), bytes(row.chain))


def _append(connection: Connection, head: Head, wanted: Commit) -> tuple[Head, dict[str, Held]]:
    """Write what of a commit changes something. Nothing is written when `Stale` or `Damaged` is raised."""
    held = held_of(_rows_of(connection, wanted.subjects))
    fresh = admitted(held, wanted.drafts, wanted.expected, _known(connection, wanted.drafts))
    rows: list[Row] = []
    for draft in fresh:
        rows.append(appended(head, draft, secrets.token_bytes(16)))
        head = Head(rows[-1].seq, rows[-1].chain)
    if rows:
        _ADD_ROW.run_each(connection, [msgspec.structs.asdict(row) for row in rows])
    return head, {**held, **held_of(rows, held)}


def _known(connection: Connection, drafts: Sequence[Draft]) -> frozenset[str]:
    """Those row ids that are there already. A request's are new: only an event, or a mended row, comes twice."""
    ids = [draft.row_id for draft in drafts if draft.of_event]
    return frozenset(connection.execute(select(ROWS.c.row_id).where(ROWS.c.row_id.in_(ids))).scalars() if ids else ())


def _move(connection: Connection, before: Head, head: Head) -> None:
    if head != before:
        _MOVE_END.run(connection, to=head.seq, hash=head.chain)


def _rows_of(connection: Connection, subjects: Sequence[str]) -> list[Row]:
    wanted = list(dict.fromkeys(subjects))
    found: list[Row] = []
    if len(wanted) <= FEW:
        for subject in wanted:
            found += _read_rows(_ASK_ROWS.run(connection, whose=subject))
    else:
        for start in range(0, len(wanted), AT_ONCE):
            found += _found(connection, select(ROWS).where(ROWS.c.subject.in_(wanted[start : start + AT_ONCE])))
    return sorted(found, key=lambda row: row.seq)


def _found(connection: Connection, asked: Any) -> list[Row]:
    return list(_read_rows(connection.execute(asked)))


def _read_rows(rows: Iterable[Any]) -> Iterator[Row]:
    for row in rows:
        payload, salt = (None if value is None else bytes(value) for value in (row.payload, row.salt))
        yield Row(int(row.seq), row.row_id, row.subject, bytes(row.payload_hash), bytes(row.chain), payload, salt)


def _all(connection: Connection, walked: Callable[[int], None] = lambda _rows: None) -> Iterator[Row]:
    last = int(connection.execute(select(func.coalesce(func.min(ROWS.c.seq), 1))).scalar_one()) - 1
    rows = 0
    while True:
        page = _found(connection, select(ROWS).where(ROWS.c.seq > last).order_by(ROWS.c.seq).limit(PAGE))
        yield from page
        rows += len(page)
        walked(rows)
        if len(page) < PAGE:
            return
        last = page[-1].seq
