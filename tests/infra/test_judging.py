"""Promotion over a stored archive: better models serve, every look at one log is counted, overruling the gate takes two
names and leaves a trace, and values that are not the archive's stop it."""

from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from engine.events import Event
from engine.records import Position, Record, encode
from engine.signals import DAY
from infra.archive import Archive
from infra.judging import Force, Incomplete, judge, promote_now, with_parity
from infra.ledger_store import SqlKeys, open_database
from infra.model_store import ModelStore
from infra.redis_store_stream import TailEntry
from infra.settings import Settings
from models.registry import Verdict
from models.scorer import CARD_FILE
from models.train import card_of
from tests.api.world import Rig
from tests.infra.test_parity import archived, from_one, lived
from tests.models.learnt import logged, small_training


def stored(home: Path) -> Settings:
    """The decisions a small model was learned from, archived, and the model beside them."""
    settings = Settings(data_dir=home)
    days = groupby(logged(1200), key=lambda event: event.received // DAY)
    entries = [
        TailEntry(Position(1, 0, offset), events[0].received, encode(Record("1", 0, tuple(events[n : n + 200]))))
        for offset, events, n in _cut([list(group) for _, group in days])
    ]
    Archive(settings.archive).append(entries)
    trained = small_training()
    ModelStore(settings.models_dir).save(trained.version, trained.files)
    return settings


def _cut(days: list[list[Event]]) -> list[tuple[int, list[Event], int]]:
    parts = [(events, start) for events in days for start in range(0, len(events), 200)]
    return [(offset, events, start) for offset, (events, start) in enumerate(parts)]


def another(settings: Settings) -> str:
    """The same model under another name: a second try."""
    trained = small_training()
    card = msgspec.structs.replace(card_of(trained.files), version="m20260101-000000-bbbbbbbb")
    ModelStore(settings.models_dir).save(card.version, {**trained.files, CARD_FILE: msgspec.json.encode(card)})
    return card.version


def test_a_better_model_serves_and_the_trail_says_why(tmp_path: Path) -> None:
    settings = stored(tmp_path)
    version = small_training().version
    found = promote_now(settings, version)
    assert (found["promoted"], found["code"], found["forced"]) == (True, "better", None)
    assert ModelStore(settings.models_dir).champion() == version
    assert found["numbers"]["dr_low"] > 0.0


def test_every_look_at_one_log_is_counted_once(tmp_path: Path) -> None:
    settings = stored(tmp_path)
    first, _ = judge(settings, small_training().version)
    again, _ = judge(settings, small_training().version)
    second, _ = judge(settings, another(settings))
    assert (first.tries, again.tries, second.tries) == (1, 1, 2)
    assert again.difference == first.difference
    assert second.difference.level > first.difference.level
    assert second.difference.low < first.difference.low
    assert len(ModelStore(settings.models_dir).tries()) == 2


@pytest.mark.parametrize(("reason", "approver"), [("", "Ann"), ("it must", ""), (" ", " ")])
def test_overruling_the_gate_takes_a_reason_and_an_approver(tmp_path: Path, reason: str, approver: str) -> None:
    with pytest.raises(Incomplete, match="a reason and an approver"):
        promote_now(Settings(data_dir=tmp_path), "any", Force(reason, approver))


def test_overruling_the_gate_is_in_the_audit_trail(tmp_path: Path) -> None:
    settings = stored(tmp_path)
    version = small_training().version
    promote_now(settings, version)
    # against itself it cannot be better
    refused = promote_now(settings, another(settings))
    assert (refused["promoted"], refused["code"]) == (False, "too_little_evidence")
    found = promote_now(settings, "m20260101-000000-bbbbbbbb", Force("a drill", "Ann"))
    assert found["promoted"]
    keys = SqlKeys(open_database(settings.database), lambda: 0)
    [(_, who, what, detail)] = keys.audit()
    assert (who, what) == ("Ann", "model promoted against the gate")
    assert detail == "m20260101-000000-bbbbbbbb (too_little_evidence): a drill"
    assert ModelStore(settings.models_dir).history()[-1]["why"]["forced"] == {"reason": "a drill", "approver": "Ann"}


async def test_values_that_are_not_the_archives_stop_a_promotion(tmp_path: Path) -> None:
    rig = Rig()
    await lived(rig, 5, from_one)
    settings = archived(rig, tmp_path)
    agreed = Verdict(True, "better", "Better.", {})
    said = with_parity(settings, agreed, {"known_days": "", "hour": ""})
    assert (said.promote, said.code) == (False, "parity")
    assert "known_days" in said.text
    assert with_parity(settings, agreed, {"hour": ""}) == agreed
