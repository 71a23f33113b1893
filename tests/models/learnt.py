"""A world small enough to learn in a second: decisions logged with uniform or epsilon exploration, customers whose
answer depends on plan and reason, and a LightGBM model trained on them."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from engine.catalog import Catalogue
from engine.events import Event
from engine.outcome import outcome_id
from engine.ports import PersonView
from engine.records import DecisionRecord, decision_event, encode
from engine.signals import DAY
from models.action import Options
from models.scorer import Model, PriorModel, Scorer, load_model
from models.serving import Ask, decide_many
from models.train import Plan, Trained, train
from tests.models.world import ID, NOW, action, ask, catalogue, event, setting, view

REASONS, PLANS = ("billing", "technical", "cancel", "moving"), ("basic", "gold")
NAMES = ("credit", "guide", "visit", "upgrade", "renewal")
BEST = {"billing": "credit", "technical": "guide", "cancel": "renewal", "moving": "visit"}
HOUR = 3_600_000
START = NOW - 60 * DAY
QUICK = Plan(Options(rounds=80, patience=15, threads=1))


def offers(kind: str = "uniform", share: float = 0.0, version: str = "learn-1") -> Catalogue:
    desk = {"id": "agent_desktop", "channel": "voice", "exploration": {"kind": kind, "share": share}}
    actions = [action(name, category=name, placements=["agent_desktop"]) for name in NAMES]
    return catalogue(actions, [desk], version=version)


def chance(record: DecisionRecord, plan: str, action_id: str) -> float:
    """The truth: the answer to the reason is taken often, an upgrade by those on the basic plan, the rest rarely."""
    if action_id == "upgrade":
        return 0.6 if plan == "basic" and record.context["reason"] == "billing" else 0.05
    return 0.5 if BEST[record.context["reason"]] == action_id else 0.05


def known(person: PersonView, number: int) -> PersonView:
    """Another person with the same history."""
    name = f"person{number:09d}x"
    return msgspec.structs.replace(person, profile_id=name, members=(name,))


def questions(count: int, seed: int) -> list[tuple[str, Ask]]:
    draw = np.random.default_rng(seed)
    people = {plan: view([event(1, "identify", traits={"plan": plan, "country": "US"}, at=START)]) for plan in PLANS}
    plans, reasons = draw.integers(0, 2, count), draw.integers(0, 4, count)
    return [
        (PLANS[p], ask(known(people[PLANS[p]], n % 400), n, at=START + n * 60_000, context={"reason": REASONS[r]}))
        for n, (p, r) in enumerate(zip(plans, reasons, strict=True))
    ]


def outcome(record: DecisionRecord, name: str, minutes: int) -> Event:
    chosen = record.answer["actions"][0]["action_id"]
    at = record.at + minutes * 60_000
    said: dict[str, Any] = {"decision_id": record.decision_id, "action_id": chosen}
    return Event(outcome_id(record.decision_id, chosen, name), "rapport", "outcome", name, at, at, ID, (), {}, said)


def logged(count: int, seed: int = 1, model: Scorer | None = None, own: Catalogue | None = None) -> Iterator[Event]:
    """Decisions and what became of them, in the order in which they would be archived."""
    asked = questions(count, seed)
    luck = np.random.default_rng((seed, 1)).random(count)
    records = decide_many([one for _, one in asked], setting(model or PriorModel(), own or offers()))
    for (plan, _), record, drawn in zip(asked, records, luck, strict=True):
        yield decision_event(record)
        yield outcome(record, "presented", 1)
        accepted = drawn < chance(record, plan, record.answer["actions"][0]["action_id"])
        yield outcome(record, "accepted" if accepted else "declined", 5)


def table_of(events: Iterator[Event] | list[Event]) -> pa.Table:
    """The columns of the archive that learning reads."""
    rows = list(events)
    return pa.table({"kind": [e.kind for e in rows], "event": [encode(e) for e in rows]})


@lru_cache(maxsize=1)
def small_table() -> pa.Table:
    return table_of(logged(1200))


@lru_cache(maxsize=1)
def small_training() -> Trained:
    return train(small_table(), NOW, DAY, QUICK)


def small_model() -> Model:
    return load_model(small_training().files)
