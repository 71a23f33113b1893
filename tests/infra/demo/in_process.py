"""The whole way of a decision in one process: the memory world for storage, the real fold, gate, models and promotion
rule. The simulator's loop runs against it without servers."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from engine.attribution import outcome_event
from engine.decision_id import decision_id
from engine.events import Arrival, normalise
from engine.outcome import Outcome
from engine.ports import PersonView
from engine.records import DecisionRecord, decision_event
from features.compute import CrossCounts
from infra.config import Configuration
from infra.demo.closed_loop import Trained
from infra.memory import MemoryState
from models.registry import judge_promotion
from models.scorer import PriorModel, Scorer, load_model
from models.serving import Ask, Setting, decide_many
from models.train import Question, evaluate, train

SECRET = b"a secret of tests only"
START = 1_800_000_000_000
FOLD = 200


class InProcessDesk:
    """Implements `Desk`. Time passes by one second a call."""

    def __init__(self, configuration: Configuration) -> None:
        self.now = START
        self.configuration = configuration
        self.state = MemoryState(lambda: self.now)
        self.model: Scorer = PriorModel()
        self.records: dict[str, DecisionRecord] = {}
        self._number = 0

    def send(self, events: Sequence[tuple[int, dict[str, Any]]]) -> None:
        source = self.configuration.source("default")
        arrival = Arrival(SECRET, "demo", self.now, categories=source.categories)
        for age, raw in events:
            event = normalise(raw, arrival, self.configuration.identity, "")
            self.state.apply([msgspec.structs.replace(event, at=self.now - age)])

    def settle(self) -> None:
        self.now += 1000

    def _cross(self) -> dict[tuple[str, str], CrossCounts]:
        found: dict[tuple[str, str], dict[str, float]] = {}
        for name, count in self.state.counts.items():
            action, segment, outcome = name.split("|")
            found.setdefault((action, segment), {})[outcome] = float(count)
        return {key: CrossCounts(n.get("presented", 0.0), n.get("accepted", 0.0)) for key, n in found.items()}

    def _view(self, reference: str) -> PersonView:
        raise NotImplementedError

    def decide(self, asks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        self.now += 1000
        setting = Setting(self.configuration.catalogue, self.configuration.purposes, self.model, self._cross())
        made = []
        for ask in asks:
            self._number += 1
            view = self._view(ask["profile"])
            named = decision_id(view.profile_id, self.now, self._number.to_bytes(10, "big"))
            made.append(Ask(view, ask["placement"], ask["context"], named, self.now, ask["limit"]))
        records = decide_many(made, setting)
        self.state.apply([decision_event(record) for record in records])
        self.records.update({record.decision_id: record for record in records})
        return [record.answer for record in records]

    def report(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        self.now += 1000
