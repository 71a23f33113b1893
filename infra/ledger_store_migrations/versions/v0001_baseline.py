"""The tables as they were when versions began. Says them again instead of using those of the program, which move on:
what an installation begins with stays what it was. A database made before versions has them already."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)

revision, down_revision, branch_labels, depends_on = "0001", None, None, None
_THEN = MetaData()
Table(
    "api_keys",
    _THEN,
    Column("name", String(100), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("role", String(32), nullable=False),
    Column("purposes", String(1000), nullable=False),
    Column("source", String(100), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("revoked", BigInteger, nullable=True),
)
Table(
    "audit",
    _THEN,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String(100), nullable=False),
    Column("what", String(100), nullable=False),
    Column("detail", String(2000), nullable=False),
)
Table(
    "consent_ledger",
    _THEN,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("row_id", String(200), nullable=False, unique=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("payload_hash", LargeBinary(32), nullable=False),
    Column("chain", LargeBinary(32), nullable=False),
    Column("payload", LargeBinary, nullable=True),
    Column("salt", LargeBinary(16), nullable=True),
)
Table(
    "consent_head",
    _THEN,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("chain", LargeBinary(32), nullable=False),
)
Table(
    "opt_ins",
    _THEN,
    Column("token", String(64), primary_key=True),
    Column("identity", String(64), nullable=False, index=True),
    Column("asked", Text, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("settled_at", BigInteger, nullable=True),
)
Table(
    "reads",
    _THEN,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String(100), nullable=False, index=True),
    Column("role", String(32), nullable=False),
    Column("what", String(32), nullable=False),
    Column("purposes", Text, nullable=False),
    Column("profile_id", String(64), nullable=False, index=True),
)
Table(
    "status_callbacks",
    _THEN,
    Column("id", String(64), primary_key=True),
    Column("next_at", BigInteger, nullable=False, index=True),
    Column("document", Text, nullable=False),
)
Table(
    "data_requests",
    _THEN,
    Column("id", String(36), primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("received_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=True),
    Column("jobs", Text, nullable=False),
    Column("subjects", Text, nullable=False),
    Column("document", Text, nullable=False),
)
Table(
    "erasures",
    _THEN,
    Column("id", String(64), primary_key=True),
    Column("requested_at", BigInteger, nullable=False, index=True),
    Column("before", BigInteger, nullable=False, index=True),
    Column("status", String(16), nullable=False, index=True),
    Column("document", Text, nullable=False),
)
Table(
    "reject_bodies",
    _THEN,
    Column("id", String(64), primary_key=True),
    Column("kept_at", BigInteger, nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
)
Table(
    "reject_names",
    _THEN,
    Column("reject", String(64), primary_key=True),
    Column("identity", String(64), primary_key=True, index=True),
)


class UnknownTables(RuntimeError):
    """A database without a version holds tables that are not ours of then."""


def upgrade() -> None:
    """Makes what is missing; what is there must be what it was then."""
    connection = op.get_bind()
    if wrong := _other(connection):
        names = ", ".join(wrong)
        raise UnknownTables(f"the database has no version, and its tables {names} are none this program ever made")
    _THEN.create_all(connection)


def _other(connection: Connection) -> list[str]:
    """The tables that are there under our names with other columns."""
    look = inspect(connection)
    there = [table for table in _THEN.sorted_tables if look.has_table(table.name)]
    return [t.name for t in there if {c["name"] for c in look.get_columns(t.name)} != set(t.columns.keys())]
