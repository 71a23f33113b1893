"""What became of the decisions is read from the archive, kept beside the models, and looked at again on a schedule."""

import asyncio
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.signals import DAY
from infra.cli import app
from infra.errand import Errand
from infra.model_store import ModelStore
from infra.settings import Settings
from infra.watching import Asked, main, watch
from models.watch import TRAINING
from tests.infra.test_judging import stored
from tests.models.learnt import START, small_training
from tests.models.world import NOW

LATER = START + 8 * DAY


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = stored(tmp_path)
    ModelStore(made.models_dir).promote(small_training().version, NOW, {})
    return made


def test_what_is_found_is_kept_where_every_process_reads_it(settings: Settings) -> None:
    found = watch(settings, LATER)
    assert ModelStore(settings.models_dir).watched() == found
    assert (found.model, found.against, found.window) == (small_training().version, TRAINING, DAY)
    assert (found.decisions, found.reference_rows, found.open) == (1200, 1200, 0)
    assert {one.name for one in found.drift} <= set(small_training().card.columns)
    # what it learned from is compared with itself: no column is elsewhere as a whole
    assert sum(one.judged for one in found.windows) == 1200


def test_only_so_many_days_are_looked_at_and_what_was_learned_from_is_read_beside(settings: Settings) -> None:
    found = watch(settings, START + 40 * DAY, Asked(days=1.0))
    assert (found.decisions, found.windows, found.reference_rows) == (0, (), 1200)


def test_an_outcome_window_may_be_named(settings: Settings) -> None:
    found = watch(settings, LATER, Asked(window=9 * DAY))
    assert (found.window, found.open) == (9 * DAY, sum(one.decisions for one in found.windows))
    assert not any(one.judged for one in found.windows)


def test_without_archive_or_model_there_is_nothing_to_say(tmp_path: Path) -> None:
    found = watch(Settings(data_dir=tmp_path), NOW)
    assert (found.decisions, found.model, found.window, found.alarms) == (0, "prior", 7 * DAY, ())
    (tmp_path / "models" / "watch.json").write_text("{")
    assert ModelStore(tmp_path / "models").watched() is None


def test_the_command_says_what_it_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("COLUMNS", "160")
    ran = CliRunner().invoke(app, ["watch", "--days", "100000"])
    assert ran.exit_code == 0, ran.output
    assert "1200 decisions" in ran.output
    assert "training window" in ran.output
    empty = CliRunner().invoke(app, ["watch", "--days", "0.00001"])
    assert "No decision" in empty.output


def test_the_errand_publishes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(settings.data_dir))
    main()
    assert ModelStore(settings.models_dir).watched() is not None


async def test_an_errand_is_due_now_and_then_and_never_twice_at_once() -> None:
    sleep = (sys.executable, "-c", "import time; time.sleep(60)")
    errand = Errand(sleep, 1000, 0)
    assert not await errand.round(999)
    assert await errand.round(1000)
    assert not await errand.round(5000)
    await asyncio.wait_for(errand.end(), 10)
    assert await errand.round(6000)
    await asyncio.wait_for(errand.end(), 10)
    assert not await Errand(sleep, 0, 0).round(9_999_999)
    assert not await Errand(("/no/such/program",), 1, 0).round(10)
