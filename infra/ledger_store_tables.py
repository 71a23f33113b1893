"""What every table of the database shares: where it is written down, and being asked without holding up the event loop.
Knows what databases answer; nothing of what is kept."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sqlalchemy import MetaData
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.dml import UpdateBase

from engine.ports import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
# the tables as the program uses them now; `infra.ledger_store_migrations` makes databases agree with it
METADATA = MetaData()


async def answered(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the database says, asked in a thread. Raises `Unavailable` where it does not answer."""
    try:
        return await asyncio.to_thread(call, *args, **kwargs)
    except SQLAlchemyError as error:
        raise Unavailable("the database does not answer; try again in a moment") from error


def changed(engine: Engine, statement: UpdateBase) -> int:
    """Carry out one statement by itself; returns how many rows it touched."""
    with engine.begin() as connection:
        return connection.execute(statement).rowcount
