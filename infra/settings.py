"""Settings of an installation, from `RAPPORT_*` variables. Knows names and defaults; opens nothing."""

import contextlib
import secrets
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DEMO_CONFIG = Path(__file__).parent / "demo" / "config"


class Settings(BaseSettings):
    """One installation. A server's URL that is unset means the embedded one, whose ports `rapport up` chooses."""

    model_config = SettingsConfigDict(env_prefix="RAPPORT_", extra="ignore", frozen=True)

    secret: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path(".rapport")
    config_dir: Path = DEMO_CONFIG
    kafka_url: str = ""
    redis_url: str = ""
    database_url: str = ""
    archive_url: str = ""
    partitions: int = 8
    replicas: int = 1
    prefix: str = ""
    tail_limit: int = 20_000
    archive_retention_hours: int = Field(default=24, ge=0)
    watch_hours: float = Field(default=1.0, ge=0)
    linger_ms: int = 4
    decision_ttl_s: int = 3600
    publish_ms: int = 100
    fetch_wait_ms: int = 500
    fetch_pause_ms: int = Field(default=0, ge=0)
    rebalance_seconds: float = 3.0
    admin_key: str = ""
    write_key: str = ""
    eval_data: Path | None = None
    log_level: str = "warning"
    batch_bytes: int = Field(default=500 * 1024, ge=32 * 1024, le=4 * 1024 * 1024)
    ingest_rate: int = Field(default=0, ge=0)
    callbacks_private: bool = False
    lateness_days: float = Field(default=30.0, gt=0)

    @property
    def lateness_ms(self) -> int:
        """How long after an erasure an event dated before it is still recognised as such."""
        return int(self.lateness_days * 86_400_000)

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'rapport.db').resolve()}"

    @property
    def archive(self) -> str:
        return self.archive_url or str((self.data_dir / "archive").resolve())

    @property
    def models_dir(self) -> Path:
        return self.data_dir / "models"

    @property
    def rules_dir(self) -> Path:
        """Every catalogue and every set of purposes decisions were made under; shared as models are."""
        return self.data_dir / "rules"

    def key(self) -> bytes:
        """The HMAC key of the installation: the setting, else the one kept in the data directory (made once)."""
        if self.secret:
            return self.secret.encode()
        path = self.data_dir / "secret"
        if not path.exists():
            _make_secret(path)
        return path.read_text(encoding="ascii").strip().encode()


def _make_secret(path: Path) -> None:
    """Of several processes that start together one makes the key and all read it: it appears with its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    made.touch(mode=0o600)
    made.write_text(secrets.token_hex(32), encoding="ascii")
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(made)
    made.unlink()
