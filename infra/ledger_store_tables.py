"""What every table of the database shares: being made where several processes start together, and being asked without
holding up the event loop. Knows what databases answer; nothing of what is kept."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sqlalchemy import MetaData
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.sql.dml import UpdateBase

from engine.ports import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
LOOKS = 10


def make_tables(tables: MetaData, engine: Engine) -> None:
    """Make what is missing.

    Processes that start together find the same table missing; all but one are refused, and look again. SQLite calls
    that operational, PostgreSQL a mistake in the program or a key that is there already.
    """
    for _ in range(LOOKS - 1):
        try:
            return tables.create_all(engine)
        except (IntegrityError, OperationalError, ProgrammingError):
            continue
    return tables.create_all(engine)


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
