"""Golden decisions: each file says what is given and what must come out; its name is the test's."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.consent import Held
from engine.events import Event
from engine.ports import PersonView
from engine.records import DecisionRecord
from engine.signals import DAY
from models.serving import Ask, decide
from tests.models.world import ACTIONS, ID, NOW, ask, catalogue, event, held, history, setting, view

CASES = sorted((Path(__file__).parent.parent / "golden" / "decisions").glob("*.json"))
MIDNIGHT = NOW - NOW % DAY


def outcome(number: int, said: dict[str, Any]) -> Event:
    details = {"action_id": said["action_id"], "category": "care", "channel": "voice", "group": ""}
    return event(900 + number, "outcome", said["outcome"], at=NOW - said["days_ago"] * DAY, properties=details)


def person(given: dict[str, Any]) -> PersonView:
    events = history() if given["events"] == "history" else []
    events += [outcome(number, said) for number, said in enumerate(given.get("outcomes", []))]
    consent = held(
        given.get("granted", ("analytics", "personalization", "marketing")),
        given.get("denied", ()),
        **given.get("settings", {}),
    )
    if "preferences" in given:
        consent[ID] = Held(consent[ID].statements, given["preferences"], consent[ID].settings)
    return view(events, consent)


def question(given: dict[str, Any], number: int = 1) -> Ask:
    at = MIDNIGHT + given["at_hour"] * 3_600_000 if "at_hour" in given else NOW
    context = given.get("context", {})
    placement = given.get("placement", "agent_desktop")
    return ask(person(given), number, placement, at=at, limit=given.get("limit"), context=context)


def decided(given: dict[str, Any]) -> DecisionRecord:
    changed = [{**action, **given.get("change", {}).get(action["id"], {})} for action in ACTIONS]
    desk = {"id": "agent_desktop", "channel": "voice", "limit": 3, "unique_groups": given.get("unique_groups", True)}
    desk |= {"human": True, "exploration": {"kind": "epsilon", "share": given.get("share", 0.1)}}
    email = {"id": "email", "channel": "email", "limit": 1, "contact": True}
    where = setting(own=catalogue(changed, [desk, email]))
    if given.get("number") != "first_explored":
        return decide(question(given), where)
    records = (decide(question(given, number), where) for number in range(1000))
    return next(record for record in records if record.answer["explored"])


def assert_within(expected: Any, answer: Any) -> None:
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert_within(value, answer[key])
    else:
        assert answer == expected


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_golden_decision(case: Path) -> None:
    written = json.loads(case.read_text())
    record, expect = decided(written["given"]), written["expect"]
    answer = record.answer
    blocked = {entry["action_id"]: entry for entry in answer["blocked"]}
    if "actions" in expect:
        assert [entry["action_id"] for entry in answer["actions"]] == expect["actions"]
    for action_id, rule in expect.get("blocked", {}).items():
        assert blocked[action_id]["rule"] == rule
    for action_id, detail in expect.get("details", {}).items():
        assert blocked[action_id]["detail"] == detail
    assert not set(expect.get("not_blocked", [])) & set(blocked)
    masked = set(answer["consent"]["features_masked"])
    assert set(expect.get("masked", [])) <= masked
    assert not set(expect.get("seen", [])) & masked
    assert_within(expect.get("answer", {}), answer)
    first: dict[str, Any] = answer["actions"][0] if answer["actions"] else {}
    assert_within({"content": expect["content"]} if "content" in expect else {}, first)
    assert_within({0: {"code": expect["first_reason"]}} if "first_reason" in expect else {}, first.get("reasons"))
    assert first.get("propensity", 0.0) <= expect.get("propensity_below", 1.0)


def test_there_are_cases() -> None:
    assert len(CASES) >= 8
