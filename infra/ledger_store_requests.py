"""Data subjects' requests in SQL, so that none is forgotten and each is carried out by one process. Knows the table;
what a request is and when it is due, `engine.data_request` says."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    String,
    Table,
    Text,
    and_,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from engine.data_request import CANCELLED, IN_PROGRESS, PATIENCE_MS, PENDING, DataRequest
from infra.ledger_store_tables import METADATA, answered, changed
from infra.ledger_store_versions import up_to_date

T = TypeVar("T")
_REQUESTS = Table(
    "data_requests",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("received_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=True),
    Column("jobs", Text, nullable=False),
    Column("subjects", Text, nullable=False),
    Column("document", Text, nullable=False),
)
_DOCUMENT = msgspec.json.Decoder(DataRequest)
_JOBS = msgspec.json.Decoder(tuple[str, ...])
_SUBJECTS = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_NONE = "[]"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _due(at: int) -> ColumnElement[bool]:
    """`engine.data_request.is_due` as a condition."""
    row = _REQUESTS.c
    waiting = and_(row.state == PENDING, row.due_at <= at)
    return or_(waiting, and_(row.state == IN_PROGRESS, row.jobs == _NONE, row.started_at <= at - PATIENCE_MS))


def _request(row: object) -> DataRequest:
    found = _DOCUMENT.decode(getattr(row, "document", ""))
    return msgspec.structs.replace(
        found,
        state=getattr(row, "state", ""),
        started_at=getattr(row, "started_at", None),
        jobs=_JOBS.decode(getattr(row, "jobs", _NONE)),
        subjects=_SUBJECTS.decode(getattr(row, "subjects", _NONE)),
    )


class SqlRequests:
    """`engine.data_request.DataRequests`. Raises `Unavailable` where the database does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        up_to_date(engine)

    async def add(self, request: DataRequest) -> DataRequest:
        return await answered(lambda: self._added(request))

    async def find(self, request_id: str) -> DataRequest | None:
        return next(iter(await answered(lambda: self._where(_REQUESTS.c.id == request_id))), None)

    async def cancel(self, request_id: str) -> bool:
        pending = and_(_REQUESTS.c.id == request_id, _REQUESTS.c.state == PENDING)
        return bool(
            await answered(lambda: changed(self._engine, update(_REQUESTS).where(pending).values(state=CANCELLED)))
        )

    async def claim(self, at: int) -> list[DataRequest]:
        return await answered(lambda: self._claimed(at))

    async def settle(self, request_id: str, state: str, jobs: Sequence[str]) -> None:
        change = update(_REQUESTS).where(_REQUESTS.c.id == request_id).values(state=state, jobs=_text(list(jobs)))
        await answered(changed, self._engine, change)

    async def forget(self, until: int) -> int:
        row = _REQUESTS.c
        old = and_(row.received_at < until, row.state != PENDING, row.subjects != _NONE)
        return await answered(lambda: changed(self._engine, update(_REQUESTS).where(old).values(subjects=_NONE)))

    def _added(self, request: DataRequest) -> DataRequest:
        row = {"id": request.id, "state": request.state, "received_at": request.received_at, "due_at": request.due_at}
        plain = msgspec.structs.replace(request, subjects=())
        row |= {"jobs": _NONE, "subjects": _text(request.subjects), "document": _text(plain)}
        try:
            changed(self._engine, insert(_REQUESTS).values(row))
        except IntegrityError:
            return self._where(_REQUESTS.c.id == request.id)[0]
        return request

    def _claimed(self, at: int) -> list[DataRequest]:
        """The row count of each change says whose it is: of two processes one finds it changed already."""
        found = []
        for request in self._where(_due(at)):
            mine = and_(_REQUESTS.c.id == request.id, _due(at))
            if changed(self._engine, update(_REQUESTS).where(mine).values(state=IN_PROGRESS, started_at=at)):
                found.append(msgspec.structs.replace(request, state=IN_PROGRESS, started_at=at))
        return found

    def _where(self, wanted: ColumnElement[bool]) -> list[DataRequest]:
        with self._engine.connect() as connection:
            rows = connection.execute(select(_REQUESTS).where(wanted).order_by(_REQUESTS.c.received_at)).all()
        return [_request(row) for row in rows]
