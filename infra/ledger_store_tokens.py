"""Double opt-ins in SQL, each under the hash of its token: whoever reads the table cannot confirm anything. Knows the
table; nothing of links or pages."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import BigInteger, Column, String, Table, Text, delete, insert, select, update
from sqlalchemy.engine import Engine

from engine.opt_in import PENDING, OptIn
from infra.ledger_store_tables import METADATA, answered, changed
from infra.ledger_store_versions import up_to_date

T = TypeVar("T")
_OPT_INS = Table(
    "opt_ins",
    METADATA,
    Column("token", String(64), primary_key=True),
    Column("identity", String(64), nullable=False, index=True),
    Column("asked", Text, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("settled_at", BigInteger, nullable=True),
)


class SqlOptIns:
    """`engine.opt_in.OptIns`. Raises `Unavailable` where the database does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        up_to_date(engine)

    async def add(self, token: str, opt_in: OptIn) -> None:
        row = {
            "token": token,
            "identity": opt_in.identity,
            "asked": msgspec.json.encode(opt_in).decode(),
            "requested_at": opt_in.requested_at,
            "expires_at": opt_in.expires_at,
            "state": opt_in.state,
            "settled_at": opt_in.settled_at,
        }
        await answered(lambda: changed(self._engine, insert(_OPT_INS).values(row)))

    async def find(self, token: str) -> OptIn | None:
        return await answered(self._found, token)

    async def settle(self, token: str, state: str, at: int) -> bool:
        pending = (_OPT_INS.c.token == token) & (_OPT_INS.c.state == PENDING)
        change = update(_OPT_INS).where(pending).values(state=state, settled_at=at)
        return bool(await answered(changed, self._engine, change))

    def erase(self, identities: Sequence[str]) -> int:
        """Remove everything asked of these identifiers; returns how many rows went."""
        return changed(self._engine, delete(_OPT_INS).where(_OPT_INS.c.identity.in_(identities)))

    def _found(self, token: str) -> OptIn | None:
        with self._engine.connect() as connection:
            row = connection.execute(select(_OPT_INS).where(_OPT_INS.c.token == token)).one_or_none()
        if row is None:
            return None
        asked = msgspec.json.decode(row.asked, type=OptIn)
        return msgspec.structs.replace(asked, state=row.state, settled_at=row.settled_at)
