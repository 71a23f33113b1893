"""The Feast store over our files: what its own tools see, and how a Redis address becomes its connection string."""

import subprocess
import sys
from pathlib import Path

import pytest
from feast.infra.online_stores.redis import RedisOnlineStore

from features.spec import BY_VIEW
from features.views import CROSS, PROFILE, SERVICE, VIEWS
from infra.feast_paths import feast_dir
from infra.feast_store import UnusableAddress, online_config, open_store

NOWHERE = "redis://127.0.0.1:1/0"
FEAST = Path(sys.executable).with_name("feast")


def listed(data_dir: Path, *what: str) -> str:
    command = (str(FEAST), "-c", str(feast_dir(data_dir)), *what, "list")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_feasts_own_cli_lists_what_was_registered(tmp_path: Path) -> None:
    open_store(tmp_path, NOWHERE)
    views = {line.split()[0] for line in listed(tmp_path, "feature-views").splitlines()[1:]}
    assert views == {view.name for view in VIEWS}
    assert SERVICE in listed(tmp_path, "feature-services")


def test_views_are_the_feature_table_column_by_column(tmp_path: Path) -> None:
    store = open_store(tmp_path, NOWHERE)
    found = {field.name: field for field in store.get_feature_view(PROFILE.name).schema if field.name != "profile_id"}
    assert {name: field.tags["spec"] for name, field in found.items()} == {
        feature.name: feature.spec_hash for feature in BY_VIEW["profile"]
    }
    assert {field.tags["purpose"] for field in found.values()} == {f.purpose for f in BY_VIEW["profile"]}
    assert {feature.name for feature in BY_VIEW["cross"]} < set(CROSS.names)


def test_registering_again_changes_nothing_and_keeps_the_file_private(tmp_path: Path) -> None:
    first = open_store(tmp_path, NOWHERE).get_feature_view(PROFILE.name)
    again = open_store(tmp_path, NOWHERE)
    assert again.get_feature_view(PROFILE.name).schema == first.schema
    assert len(again.list_feature_views()) == len(VIEWS)
    assert (feast_dir(tmp_path) / "feature_store.yaml").stat().st_mode & 0o077 == 0


ADDRESSES = {
    "redis://localhost": ("redis", {"host": "localhost", "port": "6379"}, {"db": 0}),
    "redis://127.0.0.1:7000/3": ("redis", {"host": "127.0.0.1", "port": "7000"}, {"db": 3}),
    "redis://:123@h:1/0": ("redis", {"host": "h", "port": "1"}, {"db": 0, "password": "123"}),
    "rediss://ann:a%3Db%2Fc@h:1": (
        "redis",
        {"host": "h", "port": "1"},
        {"db": 0, "ssl": True, "username": "ann", "password": "a=b/c"},
    ),
    "redis://h:1?cluster=true": ("redis_cluster", {"host": "h", "port": "1"}, {}),
}


@pytest.mark.parametrize(("url", "expected"), ADDRESSES.items(), ids=ADDRESSES)
def test_feast_understands_the_address(url: str, expected: tuple[str, dict[str, str], dict[str, object]]) -> None:
    made = online_config(url)
    nodes, options = RedisOnlineStore._parse_connection_string(made["connection_string"])
    assert (made["redis_type"], nodes[0], options) == expected


def test_a_password_feast_would_cut_is_refused_without_showing_it() -> None:
    with pytest.raises(UnusableAddress, match="comma") as caught:
        online_config("redis://:sec%2Cret@h:1/0")
    assert "sec" not in str(caught.value)


def test_whoever_serves_or_streams_does_not_import_feast() -> None:
    names = "infra.redis_store_features, infra.feast_layout, infra.feast_paths, infra.offline"
    check = f"import sys, {names}; sys.exit('feast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
