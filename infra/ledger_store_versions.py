"""Which version a database's tables have, and bringing them to the one this program needs. Knows Alembic; the steps are
in `infra.ledger_store_migrations`."""

from pathlib import Path

from sqlalchemy import Connection, Engine, column, inspect, select, table
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from engine.ports import Unavailable

HEAD = "0001"
STEPS = Path(__file__).with_name("ledger_store_migrations")
LOOKS = 10
_VERSION = table("alembic_version", column("version_num"))


class WrongVersion(RuntimeError):
    """The database belongs to another version of the program."""


def up_to_date(engine: Engine) -> None:
    """Bring the tables to the version this program needs; one query where they have it.

    Processes that start together find the same table missing; all but one are refused, and look again. SQLite calls
    that operational, PostgreSQL a mistake in the program or a key that is there already. Raises `WrongVersion`, and
    `Unavailable` where the database does not answer.
    """
    for _ in range(LOOKS - 1):
        try:
            return _upgrade(engine)
        except (IntegrityError, OperationalError, ProgrammingError):
            continue
    try:
        return _upgrade(engine)
    except OperationalError as error:
        reason = str(error.orig).partition("\n")[0]
        raise Unavailable(f"the database does not answer ({reason}); look at RAPPORT_DATABASE_URL") from error


def version_of(connection: Connection) -> str:
    """The version of the database's tables; empty where it has none yet."""
    if not inspect(connection).has_table(_VERSION.name):
        return ""
    return str(connection.execute(select(_VERSION.c.version_num)).scalar() or "")


def _upgrade(engine: Engine) -> None:
    with engine.begin() as connection:
        found = version_of(connection)
        if found != HEAD:
            _run(connection, found)


def _run(connection: Connection, found: str) -> None:
    # reason: Alembic takes long to import, and a database that is up to date needs none of it
    from alembic import command, config, util  # noqa: PLC0415 reason: slow to import, seldom needed

    wanted = config.Config(attributes={"connection": connection})
    wanted.set_main_option("script_location", str(STEPS))
    try:
        command.upgrade(wanted, HEAD)
    except util.CommandError as error:
        message = f"the database has version {found}, this program knows them up to {HEAD}: run the newer program"
        raise WrongVersion(message) from error
