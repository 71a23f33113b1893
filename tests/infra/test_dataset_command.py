"""What `rapport dataset` writes and says about people who refuse to be learnt from."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from engine.consent import Statement
from engine.identity import POSITIVE, Claim
from engine.ledger import Draft, Saying
from engine.ports import ConsentChange
from engine.records import Position, Record, encode
from infra.archive import Archive
from infra.cli import app
from infra.clock import now_ms
from infra.ledger_store_consent import Commit, ConsentLedger, open_ledger
from infra.redis_store_stream import TailEntry
from infra.settings import Settings
from models.dataset import decisions_in
from tests.models.learnt import logged, table_of

COUNT = 30


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose archive holds decisions and outcomes."""
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    made = Settings()
    events = tuple(logged(COUNT))
    at = events[-1].at
    Archive(made.archive).append([TailEntry(Position(1, 0, 0), at, encode(Record("1", at, events)))])
    return made


def said(settings: Settings, changes: Mapping[str, ConsentChange], row: str = "r") -> None:
    drafts = [
        Draft(f"{row}{n}", who, Saying(1, "test", "request", one)) for n, (who, one) in enumerate(changes.items())
    ]
    ledger = ConsentLedger(open_ledger(settings.database), now_ms)
    asyncio.run(ledger.commit(Commit(drafts, list(changes))))


def test_who_agreed_again_has_feature_rows_again(settings: Settings) -> None:
    """Both ids are one person, who refused under both; the yes is written under one and covers the other."""
    people = list(dict.fromkeys(one.profile_id for one in decisions_in(table_of(logged(COUNT)))))[:2]
    claim = Claim(people[0], "user_id", people[1], "anonymous_id", POSITIVE, 1, "desk", "said")
    entry = TailEntry(Position(1, 0, 0), 1, encode((claim,)))
    Archive(settings.archive).append_links([entry])
    said(settings, dict.fromkeys(people, ConsentChange({"model_training": Statement("withdrawn", 1, "test")})))
    assert "left out: 1 people who refuse model training" in run("--features")
    yes = Statement("granted", 2, "test", covers=tuple(people))
    said(settings, {people[0]: ConsentChange({"model_training": yes})}, "again")
    assert "left out: 0 people who refuse model training" in run("--features")


def refuse_two(settings: Settings) -> list[str]:
    """One person refuses training, one has everything restricted; both ids, and somebody else's last."""
    people = list(dict.fromkeys(one.profile_id for one in decisions_in(table_of(logged(COUNT)))))[:3]
    no = ConsentChange({"model_training": Statement("withdrawn", 1, "test")})
    said(settings, {people[0]: no, people[1]: ConsentChange(settings={"restriction": "1"})})
    return people


def run(*arguments: str) -> str:
    answer = CliRunner().invoke(app, ["dataset", *arguments])
    assert answer.exit_code == 0, answer.output
    return " ".join(answer.output.split())


def test_the_decisions_that_are_left_out_are_counted_by_reason(settings: Settings, tmp_path: Path) -> None:
    people = refuse_two(settings)
    file = tmp_path / "out.parquet"
    told = run("--out", str(file))
    counts = msgspec.json.decode(pq.read_schema(file).metadata[b"left_out"])
    assert counts == {"model training withdrawn since": 1, "the person's data is restricted": 1}
    assert f"{COUNT - 2} decisions in" in told
    assert "left out: 1 model training withdrawn since, 1 the person's data is restricted" in told
    kept = set(pq.read_table(file)["profile_id"].to_pylist())
    assert people[2] in kept
    assert not kept & set(people[:2])


def test_the_people_who_have_no_feature_rows_are_counted(settings: Settings) -> None:
    refuse_two(settings)
    told = run("--features")
    assert "left out: 2 people who refuse model training or whose data is restricted" in told
