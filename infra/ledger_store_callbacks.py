"""Status callbacks in SQL, so that none is forgotten and each call is made by one process. Knows the table; when to try
again, `engine.status_callback` says."""

import msgspec
from sqlalchemy import BigInteger, Column, String, Table, Text, and_, delete, insert, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from engine.data_request import PATIENCE_MS
from engine.status_callback import Callback
from infra.ledger_store_tables import METADATA, answered, changed
from infra.ledger_store_versions import up_to_date

_CALLBACKS = Table(
    "status_callbacks",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("next_at", BigInteger, nullable=False, index=True),
    Column("document", Text, nullable=False),
)
_DOCUMENT = msgspec.json.Decoder(Callback)
AT_ONCE = 20


class SqlCallbacks:
    """`engine.status_callback.Callbacks`. Raises `Unavailable` where the database does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        up_to_date(engine)

    async def add(self, callback: Callback) -> None:
        await answered(self._add, callback)

    async def claim(self, at: int) -> list[Callback]:
        return await answered(self._claimed, at)

    async def settle(self, callback: Callback) -> None:
        change = update(_CALLBACKS).where(_CALLBACKS.c.id == callback.id).values(_values(callback))
        await answered(changed, self._engine, change)

    async def forget(self, callback: Callback) -> None:
        await answered(changed, self._engine, delete(_CALLBACKS).where(_CALLBACKS.c.id == callback.id))

    def _add(self, callback: Callback) -> None:
        try:
            changed(self._engine, insert(_CALLBACKS).values(id=callback.id, **_values(callback)))
        except IntegrityError:
            return

    def _claimed(self, at: int) -> list[Callback]:
        """The row count of each change says whose it is: of two processes one finds it changed already."""
        row, found = _CALLBACKS.c, []
        wanted = select(row.id, row.next_at, row.document).where(row.next_at <= at).order_by(row.next_at).limit(AT_ONCE)
        with self._engine.connect() as connection:
            due = connection.execute(wanted).all()
        for one in due:
            mine = and_(row.id == one.id, row.next_at == one.next_at)
            if changed(self._engine, update(_CALLBACKS).where(mine).values(next_at=at + PATIENCE_MS)):
                found.append(msgspec.structs.replace(_DOCUMENT.decode(one.document), next_at=at + PATIENCE_MS))
        return found


def _values(callback: Callback) -> dict[str, object]:
    return {"next_at": callback.next_at, "document": msgspec.json.encode(callback).decode()}
