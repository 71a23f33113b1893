"""The database's tables and their versions: a new one is what the program's tables say, one from before versions is
taken over with what it holds, and what is not ours is left alone."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from engine.ports import ApiKey
from infra.doctor import examine
from infra.ledger_store import SqlKeys, open_database
from infra.ledger_store_tables import METADATA
from infra.ledger_store_versions import HEAD, STEPS, WrongVersion, version_of
from infra.settings import Settings

for path in sorted(STEPS.parent.glob("ledger_store*.py")):
    importlib.import_module(f"infra.{path.stem}")


@pytest.fixture
def url(database_url: str) -> str:
    return database_url


def shape(engine: Engine) -> dict[str, Any]:
    """Every table with its columns, keys and indexes."""
    look = inspect(engine)
    return {
        table: {
            "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in look.get_columns(table)],
            "key": look.get_pk_constraint(table)["constrained_columns"],
            "indexes": sorted((i["name"], i["column_names"], i["unique"]) for i in look.get_indexes(table)),
            "unique": sorted(u["column_names"] for u in look.get_unique_constraints(table)),
        }
        for table in look.get_table_names()
        if table != "alembic_version"
    }


def plain(url: str) -> Engine:
    """A database as it was made before there were versions."""
    engine = create_engine(url)
    METADATA.create_all(engine)
    return engine


def version(engine: Engine) -> str:
    with engine.connect() as connection:
        return version_of(connection)


def test_a_new_database_is_what_the_programs_tables_say(
    url: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    made = open_database(url)
    wanted = plain(new_url("postgresql") if url.startswith("postgresql") else f"sqlite:///{tmp_path / 'wanted.db'}")
    assert shape(made) == shape(wanted)
    assert set(shape(made)) == {
        *("api_keys", "audit", "consent_head", "consent_ledger", "data_requests", "erasures", "opt_ins", "reads"),
        *("reject_bodies", "reject_names", "status_callbacks"),
    }
    assert version(made) == HEAD


def test_there_is_one_line_of_steps_and_the_program_knows_its_end() -> None:
    config = Config()
    config.set_main_option("script_location", str(STEPS))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [HEAD]
    assert script.get_bases() == ["0001"]


def test_a_database_from_before_versions_is_taken_over_with_what_it_holds(url: str) -> None:
    before = plain(url)
    SqlKeys(before, lambda: 7).add(ApiKey("desk", "agent"), "rk_secret")
    with before.begin() as connection:
        connection.execute(text("DROP TABLE status_callbacks"))
    assert version(before) == ""
    after = open_database(url)
    assert version(after) == HEAD
    assert [(key.name, created) for key, created, _ in SqlKeys(after, lambda: 9).listed()] == [("desk", 7)]
    assert "status_callbacks" in shape(after)


def test_tables_that_are_not_ours_are_left_alone(url: str) -> None:
    theirs = create_engine(url)
    with theirs.begin() as connection:
        connection.execute(text("CREATE TABLE reads (book TEXT)"))
    with pytest.raises(RuntimeError, match="no version, and its tables reads are none"):
        open_database(url)
    assert set(shape(theirs)) == {"reads"}
    assert version(theirs) == ""


async def test_a_newer_database_is_not_touched_by_an_older_program(url: str, tmp_path: Path) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = shape(engine)
    with pytest.raises(WrongVersion, match="has version 9999"):
        open_database(url)
    assert shape(engine) == before
    found = {one.name: one for one in await examine(Settings(data_dir=tmp_path, database_url=url))}["database"]
    assert (found.ok, "run the newer program" in found.detail) == (False, True)


async def test_doctor_names_the_version(url: str, tmp_path: Path) -> None:
    found = {one.name: one for one in await examine(Settings(data_dir=tmp_path, database_url=url))}["database"]
    assert (found.ok, found.detail) == (True, f"answers, its tables have version {HEAD}")
