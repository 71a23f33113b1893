"""Golden cases of consent: what a person said, by events and by their own word, and what may be done then. Each file is
a case and its name the test; the rules and laws are those of the demo configuration."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.carried import Forms
from engine.consent import Consent, country_of, resolve
from engine.events import Arrival, normalise
from engine.identifiers import IdentityRules, identify
from engine.statement import Subject, Wish, changes
from engine.step import Rules
from infra.config import load
from infra.memory import MemoryState
from infra.settings import DEMO_CONFIG

CASES = sorted((Path(__file__).parent.parent / "golden" / "consent").glob("*.json"))
SECRET, START, MINUTE, DAY = b"golden", 1_790_000_000_000, 60_000, 86_400_000
POLICY = load(DEMO_CONFIG).purposes
RULES = IdentityRules()
CATEGORIES = {"ads": "advertising", "stats": "analytics"}


def _id(kind: str, value: str) -> str:
    found = identify(SECRET, RULES, kind, value)
    assert found is not None
    return found.id


def _send(state: MemoryState, raw: dict[str, Any], at: int, categories: dict[str, str]) -> None:
    message = {"userId": "ann", "messageId": f"m{at}", **raw}
    accepted = normalise(message, Arrival(SECRET, "web", at, consent=Forms(categories)), RULES, "")
    state.apply([msgspec.structs.replace(accepted, at=at)])


def _consent(state: MemoryState, identity: str, at: int | None = None) -> Consent:
    view = state.view(identity)
    return resolve(view.held, POLICY, country_of(view.profile) if view.known else None, at)


def _say(state: MemoryState, identity: str, step: dict[str, Any], at: int) -> None:
    view = state.view(identity)
    subject = Subject(view.members, view.held, _consent(state, identity))
    state.write(changes(subject, Wish("page", at, step.get("says", {}), settings=step.get("settings", {}))))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    state = MemoryState(lambda: START, Rules(identity=RULES))
    ann = _id("user_id", "ann")
    categories = case.get("categories", CATEGORIES)
    traits = {"country": case["country"]} if "country" in case else {}
    _send(state, {"type": "identify", "traits": traits, "messageId": "first"}, START, categories)
    for step in case["steps"]:
        at = START + step["minute"] * MINUTE
        if "event" in step:
            _send(state, step["event"], at, categories)
        else:
            _say(state, _id("anonymous_id", step["anonymousId"]) if "anonymousId" in step else ann, step, at)
    last = START + max((step["minute"] for step in case["steps"]), default=0) * MINUTE
    consent = _consent(state, ann, last + case.get("days_later", 0) * DAY)
    assert {name: consent.answers[name].status for name in case["expect"]} == case["expect"], case["why"]
    if "jurisdiction" in case:
        assert [consent.jurisdiction, consent.rule] == case["jurisdiction"]
    if "allowed" in case:
        assert {name for name in consent.answers if consent.allows(name)} == set(case["allowed"]), case["why"]


def test_every_configured_jurisdiction_has_cases() -> None:
    """Of each law one where it comes from the country, the default or a statement, and what is allowed then."""
    cases = [json.loads(path.read_text(encoding="utf-8")) for path in CASES]
    covered = {case["jurisdiction"][0] for case in cases if "allowed" in case and "jurisdiction" in case}
    assert set(POLICY.jurisdictions) <= covered
    rules = {case["jurisdiction"][1] for case in cases if "jurisdiction" in case}
    assert rules == {"stated", "conflict", "country", "default"}


def test_there_are_cases() -> None:
    assert len(CASES) >= 43
