"""Feast over our stores: builds a `FeatureStore` for the online rows in Redis and the offline Delta tables, registers
the definitions and leaves a `feature_store.yaml` for Feast's own tools. Imported only where seconds do not matter."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import pandas as pd
import yaml
from feast import FeatureStore, FileSource, RepoConfig

from features.definitions import definitions
from features.views import PROFILE, PROJECT, TIMESTAMP
from infra.feast_paths import feast_dir, offline_paths
from infra.settings import Settings

KEY_VERSION = 3


class UnusableAddress(ValueError):
    """A Redis address Feast's connection string cannot express."""


class NothingOffline(LookupError):
    """A view whose offline table was never built, or had no rows."""


def online_config(redis_url: str) -> dict[str, Any]:
    """Feast's online store section for `redis://[user:password@]host:port/db`, `rediss://…` or `…?cluster=true`.

    Raises `UnusableAddress` for credentials with a comma: Feast splits its connection string there.
    """
    url = urlsplit(redis_url)
    options: dict[str, Any] = {}
    clustered = parse_qs(url.query).get("cluster", [""])[0] == "true"
    if not clustered:
        options["db"] = int(url.path.strip("/") or 0)
    if url.scheme == "rediss":
        options["ssl"] = True
    options |= _credentials(url)
    address = ",".join((f"{url.hostname}:{url.port or 6379}", *(f"{k}={json.dumps(v)}" for k, v in options.items())))
    kind = "redis_cluster" if clustered else "redis"
    return {"type": "redis", "redis_type": kind, "connection_string": address}


def _credentials(url: SplitResult) -> dict[str, str]:
    named = (("username", url.username), ("password", url.password))
    found = {name: unquote(value) for name, value in named if value}
    if any("," in value for value in found.values()):
        raise UnusableAddress("Feast cannot take a Redis user or password with a comma; choose one without")
    return found


def config(data_dir: Path, redis_url: str, project: str = PROJECT) -> RepoConfig:
    """The configuration with absolute paths, so that it means the same from every working directory."""
    return RepoConfig(**_values(data_dir, redis_url, project), repo_path=feast_dir(data_dir))


def _values(data_dir: Path, redis_url: str, project: str) -> dict[str, Any]:
    return {
        "project": project,
        "provider": "local",
        "registry": {"registry_type": "file", "path": str(feast_dir(data_dir) / "registry.db")},
        "online_store": online_config(redis_url),
        "offline_store": {"type": "dask"},
        "entity_key_serialization_version": KEY_VERSION,
    }


def open_store(data_dir: Path, redis_url: str, prefix: str = "") -> FeatureStore:
    """A store with the definitions registered and `feature_store.yaml` written beside the registry.

    `prefix` begins the project's name, as it does for the writer of the rows. Registering again is harmless; columns
    that left the table are forgotten.
    """
    home, project = feast_dir(data_dir), prefix + PROJECT
    home.mkdir(parents=True, exist_ok=True)
    written = home / "feature_store.yaml"
    written.touch(mode=0o600)
    written.write_text(yaml.safe_dump(_values(data_dir, redis_url, project), sort_keys=False), encoding="utf-8")
    store = FeatureStore(config=config(data_dir, redis_url, project))
    found = definitions(offline_paths(data_dir))
    store.apply([*found.entities, *found.sources, *found.views, found.service])
    return store


def profile_features(columns: Sequence[str] = PROFILE.names) -> list[str]:
    """Feast's references of profile columns."""
    return [f"{PROFILE.name}:{column}" for column in columns]


def historical(store: FeatureStore, asked: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Features as they were known at each row's `event_timestamp`, in the order asked.

    `asked` has the join keys and `event_timestamp` (UTC). A row asked before anything was known comes back with nulls:
    Feast's dask store leaves it out. Raises `NothingOffline` while a view has no rows at all.
    """
    for view in sorted({reference.partition(":")[0] for reference in features}):
        table = store.get_feature_view(view).batch_source
        if isinstance(table, FileSource) and not Path(table.path).exists():
            raise NothingOffline(f"view {view} has no offline rows; build them with: rapport dataset --features")
    keys = [column for column in asked.columns if column != TIMESTAMP]
    found = store.get_historical_features(entity_df=asked, features=list(features)).to_df()
    times = {TIMESTAMP: pd.to_datetime(asked[TIMESTAMP], utc=True)}
    return asked.assign(**times).merge(found.drop_duplicates([*keys, TIMESTAMP]), on=[*keys, TIMESTAMP], how="left")


if __name__ == "__main__":
    # `rapport up` registers the definitions this way, after everything that matters is ready
    settings = Settings()
    open_store(settings.data_dir, settings.redis_url, settings.prefix)
