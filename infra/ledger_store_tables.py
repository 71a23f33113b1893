"""Making tables where several processes start together. Knows what databases answer then; nothing of what is kept."""

from sqlalchemy import MetaData
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

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
