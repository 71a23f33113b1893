"""The serving model follows the champion alias, and keeps serving when the next one cannot."""

from pathlib import Path

from infra.model_store import ModelStore
from models.live import LiveModel
from models.scorer import PRIOR_VERSION
from tests.models.learnt import small_training

PROMOTED = {"code": "better"}


def test_without_a_champion_the_assumed_rates_serve(tmp_path: Path) -> None:
    live = LiveModel(ModelStore(tmp_path))
    assert not live.refresh()
    assert live.current().version == PRIOR_VERSION


def test_a_promotion_is_served_and_a_rollback_undone(tmp_path: Path) -> None:
    store, trained = ModelStore(tmp_path), small_training()
    live = LiveModel(ModelStore(tmp_path))
    store.save(trained.version, trained.files)
    assert not live.refresh()
    store.promote(trained.version, 1, PROMOTED)
    assert live.refresh()
    assert not live.refresh()
    assert live.current().version == trained.version
    store.rollback(2)
    assert live.refresh()
    assert live.current().version == PRIOR_VERSION


def test_a_champion_that_cannot_be_read_leaves_the_old_one_serving(tmp_path: Path) -> None:
    store, trained = ModelStore(tmp_path), small_training()
    live = LiveModel(store)
    store.save(trained.version, trained.files)
    store.save("torn", {**trained.files, "model.txt": b"not a model"})
    store.promote(trained.version, 1, PROMOTED)
    assert live.refresh()
    store.promote("torn", 2, PROMOTED)
    assert not live.refresh()
    assert live.current().version == trained.version
    assert "torn" in live.problem
    store.promote(trained.version, 3, PROMOTED)
    live.refresh()
    assert live.problem == ""
    assert live.current().version == trained.version


def test_a_store_that_is_away_leaves_the_model_serving(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    live = LiveModel(store)
    (tmp_path / "champion.json").mkdir()
    assert not live.refresh()
    assert "cannot be read" in live.problem
