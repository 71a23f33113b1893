"""What is kept in SQL: API keys (hashed) and the audit trail of what was done with them. Knows tables and hashes;
nothing of roles' meaning or of HTTP."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import BigInteger, Column, Integer, String, Table, create_engine, insert, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from engine.events import OWN_SOURCE
from engine.ports import ApiKey
from infra.ledger_store_tables import METADATA
from infra.ledger_store_versions import up_to_date

_KEYS = Table(
    "api_keys",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("role", String(32), nullable=False),
    Column("purposes", String(1000), nullable=False),
    Column("source", String(100), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("revoked", BigInteger, nullable=True),
)
_AUDIT = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String(100), nullable=False),
    Column("what", String(100), nullable=False),
    Column("detail", String(2000), nullable=False),
)
ROLES = ("agent", "marketer", "preference_center", "engineer", "admin", "auditor", "write")
ADMIN, WRITER = "first-admin", "default"


class KeyNameTaken(Exception):
    """A key of this name exists; names are never used twice, so that the audit trail stays readable."""


def open_database(url: str) -> Engine:
    """An engine on the installation's database, with its tables made, and a file's directory before it."""
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_pre_ping=True)
    up_to_date(engine)
    return engine


def key_hash(secret: str) -> str:
    """API keys carry 160 bits of randomness, so a plain hash is as good as a slow one and can be looked up."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret(role: str) -> str:
    return f"{'rw' if role == 'write' else 'rk'}_{secrets.token_hex(20)}"


class SqlKeys:
    """`engine.ports.Keys`, with an in-memory copy refreshed when it is older than a second."""

    def __init__(self, engine: Engine, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._clock = clock
        self._known: dict[str, ApiKey] = {}
        self._read_at = -1

    async def find(self, secret: str) -> ApiKey | None:
        if self._clock() - self._read_at > 1000:
            self._refresh()
        return self._known.get(key_hash(secret))

    async def named(self, name: str) -> ApiKey | None:
        """The live key of this name."""
        if self._clock() - self._read_at > 1000:
            self._refresh()
        return next((key for key in self._known.values() if key.name == name), None)

    def _refresh(self) -> None:
        with self._engine.connect() as connection:
            rows = connection.execute(select(_KEYS).where(_KEYS.c.revoked.is_(None))).all()
        self._known = {row.hash: _key(row) for row in rows}
        self._read_at = self._clock()

    def add(self, key: ApiKey, secret: str) -> None:
        """Store a key; only its hash is kept. Raises `KeyNameTaken`; our own source is nobody's to write as."""
        if key.source == OWN_SOURCE:
            raise KeyNameTaken(f"{OWN_SOURCE} is the source of decisions and outcomes; name another source")
        row = {
            "name": key.name,
            "hash": key_hash(secret),
            "role": key.role,
            "purposes": ",".join(key.purposes),
            "source": key.source,
            "created": self._clock(),
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(_KEYS).values(row))
        except IntegrityError as error:
            raise KeyNameTaken(f"a key named {key.name} exists; choose another name") from error
        self._read_at = -1

    def ensure(self, key: ApiKey, secret: str) -> None:
        """Make this secret the one of the named key, whatever was there."""
        if not self._replaced(key, secret):
            try:
                self.add(key, secret)
            except KeyNameTaken:
                # another process that starts now made it first
                if not self._replaced(key, secret):
                    raise
        self._read_at = -1

    def _replaced(self, key: ApiKey, secret: str) -> bool:
        with self._engine.begin() as connection:
            changed = connection.execute(
                update(_KEYS)
                .where(_KEYS.c.name == key.name)
                .values(hash=key_hash(secret), role=key.role, purposes=",".join(key.purposes), revoked=None)
            )
        return bool(changed.rowcount)

    def revoke(self, name: str) -> bool:
        """Whether there was a live key of this name."""
        live = (_KEYS.c.name == name) & _KEYS.c.revoked.is_(None)
        with self._engine.begin() as connection:
            changed = connection.execute(update(_KEYS).where(live).values(revoked=self._clock()))
        self._read_at = -1
        return bool(changed.rowcount)

    def listed(self) -> Sequence[tuple[ApiKey, int, int | None]]:
        """Every key with when it was made and, if so, revoked (ms)."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(_KEYS).order_by(_KEYS.c.created)).all()
        return [(_key(row), row.created, row.revoked) for row in rows]

    def note(self, who: str, what: str, detail: str) -> None:
        """One line of the audit trail."""
        with self._engine.begin() as connection:
            connection.execute(insert(_AUDIT).values(at=self._clock(), who=who, what=what, detail=detail[:2000]))

    def audit(self, limit: int = 100) -> Sequence[tuple[int, str, str, str]]:
        """The newest lines: (ms, who, what, detail)."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(_AUDIT).order_by(_AUDIT.c.id.desc()).limit(limit)).all()
        return [(row.at, row.who, row.what, row.detail) for row in rows]


def _key(row: object) -> ApiKey:
    purposes = str(getattr(row, "purposes", ""))
    return ApiKey(
        name=str(getattr(row, "name", "")),
        role=str(getattr(row, "role", "")),
        purposes=tuple(p for p in purposes.split(",") if p),
        source=str(getattr(row, "source", "")),
    )
