"""The whole way of a decision in one process: the memory world for storage, the real fold, gate, models and promotion
rule. The simulator's loop runs against it without servers; knows neither the plan nor the truth."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from engine.attribution import outcome_event
from engine.carried import Forms
from engine.catalog import Catalogue
from engine.decision_id import decision_id
from engine.events import Arrival, normalise
from engine.identifiers import parse_reference
from engine.outcome import Outcome
from engine.records import decision_event
from features.compute import CrossCounts
from infra.config import Configuration
from infra.demo.closed_loop import PILOT, Trained
from infra.memory import MemoryState
from models.registry import judge_promotion
from models.scorer import PriorModel, Scorer, load_model
from models.serving import Ask, Setting, decide_many
from models.train import Question, evaluate, train

SECRET = b"a secret of tests only"
START = 1_800_000_000_000
KINDS = ("decision", "outcome")


class InProcessDesk:
    """Implements `Desk`; every call takes a second. `later` is the catalogue from a number of decisions on."""

    def __init__(self, configuration: Configuration, later: tuple[int, Catalogue] | None = None) -> None:
        self.now = START
        self.configuration = configuration
        self.catalogue = configuration.catalogue
        self._later = later
        self._asked: list[int] = []
        self.state = MemoryState(lambda: self.now)
        self.model: Scorer = PriorModel()
        self._number = 0

    def send(self, events: Sequence[tuple[int, dict[str, Any]]]) -> None:
        categories = self.configuration.source("default").categories
        arrival = Arrival(SECRET, "demo", self.now, consent=Forms(categories))
        for age, raw in events:
            event = normalise(raw, arrival, self.configuration.identity, "")
            self.state.apply([msgspec.structs.replace(event, at=self.now - age)])

    def settle(self) -> None:
        self.now += 1000

    def _ask(self, said: Mapping[str, Any]) -> Ask:
        self._number += 1
        who = parse_reference(SECRET, self.configuration.identity, said["profile"])
        view = self.state.view(who.id)
        named = decision_id(view.profile_id, self.now, self._number.to_bytes(10, "big"))
        return Ask(view, said["placement"], said["context"], named, self.now, said["limit"])

    def decide(self, asks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        self.now += 1000
        if self._later is not None and len(self._asked) >= self._later[0]:
            self.catalogue = self._later[1]
        self._asked += [self.now] * len(asks)
        cross = {key: CrossCounts(*counts) for key, counts in self.state.cross().items()}
        setting = Setting(self.catalogue, self.configuration.purposes, self.model, cross)
        records = decide_many([self._ask(ask) for ask in asks], setting)
        self.state.apply([decision_event(record) for record in records])
        return [record.answer for record in records]

    def report(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        self.now += 1000
        for said in outcomes:
            outcome = Outcome(said["decision_id"], said["action_id"], said["outcome"], self.now, said.get("value"))
            record = self.state.decisions[outcome.decision_id]
            self.state.apply([outcome_event(outcome, record, self.catalogue, self.now)])

    def retrain(self, decisions: int, since: int) -> Trained:
        self.now += 1000
        begin = self._asked[since]
        rows = [one.event for one in self.state.history if one.event.kind in KINDS and one.event.at >= begin]
        packed = [msgspec.msgpack.encode(event) for event in rows]
        table = pa.table({"kind": [event.kind for event in rows], "event": pa.array(packed, pa.binary())})
        trained = train(table, self.now, 0)
        challenger = load_model(trained.files)
        question = Question(now=self.now, window=0, since=trained.card.judged_from, placement=PILOT)
        comparison = evaluate(table, question, challenger, self.model)
        verdict = judge_promotion(trained.card, comparison)
        if verdict.promote:
            self.model = challenger
        gap = comparison.difference
        return Trained(decisions, trained.version, verdict.promote, verdict.text, gap.low, gap.value, gap.high)
