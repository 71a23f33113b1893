"""The model store: whole folders, an alias that is never half written, and a history to go back along."""

from pathlib import Path

import pytest

from features.spec import COLUMNS, SPEC_HASH
from infra.model_store import ModelStore, NothingBefore, UnknownModel

FILES = {"model.txt": b"tree", "card.json": b'{"version": "m1", "created": 1}'}
NEWER = {"card.json": b'{"version": "m2", "created": 2}'}
WHY = {"code": "better", "low": 0.1}


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_what_is_saved_comes_back(store: ModelStore) -> None:
    store.save("m1", FILES)
    assert store.files("m1") == FILES
    assert store.card("m1") == {"version": "m1", "created": 1}


def test_saving_again_changes_nothing(store: ModelStore) -> None:
    store.save("m1", FILES)
    store.save("m1", {"card.json": b"{}"})
    assert store.files("m1") == FILES
    assert not list(store.directory.glob(".new-*"))


def test_cards_come_newest_first(store: ModelStore) -> None:
    store.save("m1", FILES)
    store.save("m2", NEWER)
    assert [card["version"] for card in store.cards()] == ["m2", "m1"]


def test_nobody_serves_at_first(store: ModelStore) -> None:
    assert store.champion() is None
    assert store.history() == []


@pytest.mark.parametrize("version", ["m9", "", ".", "..", "../models/m1", ".new-x", "specs"])
def test_an_unknown_version_neither_opens_nor_serves(store: ModelStore, version: str) -> None:
    store.save("m1", FILES)
    with pytest.raises(UnknownModel):
        store.files(version)
    with pytest.raises(UnknownModel):
        store.promote(version, 1, WHY)
    assert store.champion() is None
    assert store.history() == []


def test_rollbacks_walk_back_along_the_promotions(store: ModelStore) -> None:
    store.save("m1", FILES)
    store.save("m2", NEWER)
    store.promote("m1", 1, WHY)
    store.promote("m2", 2, WHY)
    assert store.champion() == "m2"
    assert store.rollback(3) == "m1"
    assert store.champion() == "m1"
    assert store.rollback(4) is None
    assert store.champion() is None
    with pytest.raises(NothingBefore):
        store.rollback(5)
    assert [line["event"] for line in store.history()] == ["promoted"] * 2 + ["rolled_back"] * 2
    assert store.history()[0]["why"] == WHY


def test_a_rollback_before_any_promotion_is_refused(store: ModelStore) -> None:
    with pytest.raises(NothingBefore, match="promote a version first"):
        store.rollback(1)


def test_a_history_line_cut_short_is_left_out(store: ModelStore) -> None:
    store.save("m1", FILES)
    store.promote("m1", 1, WHY)
    with (store.directory / "history.jsonl").open("a") as history:
        history.write('{"at": 2, "eve')
    assert len(store.history()) == 1


def test_every_feature_spec_is_remembered(store: ModelStore) -> None:
    assert list(store.specs()[SPEC_HASH]) == list(COLUMNS)
    assert ModelStore(store.directory).specs() == store.specs()
