"""What rejected events held, in SQL, under the ids of whomever they name: Kafka cannot take back one record, a table
can. Knows the tables; nothing of why an event was rejected."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import BigInteger, Column, LargeBinary, String, Table, delete, insert, select
from sqlalchemy.engine import Connection, Engine

from engine.signals import DAY
from infra.ledger_store_tables import METADATA, answered

# a reject nobody mended by then is not worth keeping what somebody said
KEPT_MS = 30 * DAY
AT_ONCE = 500
_BODIES = Table(
    "reject_bodies",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("kept_at", BigInteger, nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
)
_NAMED = Table(
    "reject_names",
    METADATA,
    Column("reject", String(64), primary_key=True),
    Column("identity", String(64), primary_key=True, index=True),
)


class Body(msgspec.Struct, frozen=True):
    """The bytes of one rejected event, and the ids of everybody it names."""

    id: str
    names: frozenset[str]
    data: bytes


class SqlRejectBodies:
    """Keeps, gives, erases. Raises `Unavailable` where the database does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def keep(self, bodies: Sequence[Body], at: int) -> None:
        """Keep them all or none, and drop what is older than thirty days."""
        await answered(self._keep, bodies, at)

    async def find(self, body_id: str) -> bytes | None:
        """What was kept under this id; None where it was erased or is too old."""
        return await answered(self._find, body_id)

    def erase(self, identities: Sequence[str]) -> int:
        """Drop everything that names one of these ids; returns how many rejected events went."""
        with self._engine.begin() as connection:
            found: set[str] = set()
            for some in _parts(identities):
                named = select(_NAMED.c.reject).where(_NAMED.c.identity.in_(some))
                found |= {row.reject for row in connection.execute(named)}
            return self._drop(connection, sorted(found))

    def _keep(self, bodies: Sequence[Body], at: int) -> None:
        with self._engine.begin() as connection:
            old = select(_BODIES.c.id).where(_BODIES.c.kept_at < at - KEPT_MS).limit(AT_ONCE)
            self._drop(connection, [row.id for row in connection.execute(old)])
            connection.execute(insert(_BODIES), [{"id": one.id, "kept_at": at, "body": one.data} for one in bodies])
            names = [{"reject": one.id, "identity": name} for one in bodies for name in sorted(one.names)]
            connection.execute(insert(_NAMED), names)

    def _drop(self, connection: Connection, ids: Iterable[str]) -> int:
        gone = 0
        for some in _parts(list(ids)):
            connection.execute(delete(_NAMED).where(_NAMED.c.reject.in_(some)))
            gone += connection.execute(delete(_BODIES).where(_BODIES.c.id.in_(some))).rowcount
        return gone

    def _find(self, body_id: str) -> bytes | None:
        with self._engine.connect() as connection:
            found = connection.execute(select(_BODIES.c.body).where(_BODIES.c.id == body_id)).scalar_one_or_none()
        return None if found is None else bytes(found)


def _parts(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE)]
