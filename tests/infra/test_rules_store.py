"""Rules are kept by content before they are used, read back as they were, and damage is noticed."""

from pathlib import Path

import msgspec
import pytest

from engine.catalog import digest_of, digest_of_bytes
from infra.config import Configuration, LiveConfiguration, load
from infra.rules_store import RulesStore
from infra.settings import DEMO_CONFIG
from models.replay import NotReplayable


def test_rules_come_back_as_they_were(tmp_path: Path) -> None:
    found, store = load(DEMO_CONFIG), RulesStore(tmp_path)
    store.keep(found.catalogue, found.purposes)
    store.keep(found.catalogue, found.purposes)
    again = store.catalogue(found.catalogue.digest)
    assert msgspec.json.encode(again.documents) == msgspec.json.encode(found.catalogue.documents)
    assert store.purposes(digest_of(found.purposes)) == found.purposes
    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_an_edit_under_the_same_version_is_another_catalogue() -> None:
    documents = load(DEMO_CONFIG).catalogue.documents
    dearer = msgspec.structs.replace(documents.actions[0], value=99.0)
    edited = msgspec.structs.replace(documents, actions=(dearer, *documents.actions[1:]))
    assert (edited.version, digest_of(edited) == digest_of(documents)) == (documents.version, False)


def test_what_is_gone_or_damaged_is_said_to_be(tmp_path: Path) -> None:
    found, store = load(DEMO_CONFIG), RulesStore(tmp_path)
    with pytest.raises(NotReplayable, match="not kept"):
        store.catalogue(found.catalogue.digest)
    store.keep(found.catalogue, found.purposes)
    [kept] = (tmp_path / "catalogues").iterdir()
    kept.write_text(kept.read_text().replace("demo-1", "demo-2"))
    with pytest.raises(NotReplayable, match="not what it was"):
        store.catalogue(found.catalogue.digest)
    kept.write_text("{")
    with pytest.raises(NotReplayable, match="cannot be read"):
        store.catalogue(found.catalogue.digest)


def test_rules_kept_before_a_field_was_thought_of_are_read(tmp_path: Path) -> None:
    """The name is that of the bytes as they were written; what has come since has its default."""
    found, store = load(DEMO_CONFIG), RulesStore(tmp_path)
    older = msgspec.json.encode(found.catalogue.documents)
    for later in (b',"human":false', b',"human":true'):
        older = older.replace(later, b"")
    path = tmp_path / "catalogues" / f"{digest_of_bytes(older)}.json"
    path.parent.mkdir()
    path.write_bytes(older)
    again = store.catalogue(digest_of_bytes(older))
    assert list(again.actions) == list(found.catalogue.actions)
    assert not any(placement.human for placement in again.placements.values())


def test_a_configuration_serves_only_once_it_is_kept(tmp_path: Path) -> None:
    for file in DEMO_CONFIG.glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    kept: list[str] = []
    full = False

    def keep(found: Configuration) -> None:
        if full:
            raise OSError("no space left")
        kept.append(found.catalogue.version)

    live = LiveConfiguration(tmp_path, keep)
    assert kept == ["demo-1"]
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(catalogue.read_text().replace('version: "demo-1"', 'version: "demo-22"'))
    full = True
    assert not live.maybe_reload()
    assert live.current.catalogue.version == "demo-1"
    assert "cannot be kept" in live.problem
    full = False
    assert live.maybe_reload()
    assert (live.current.catalogue.version, live.problem) == ("demo-22", "")
