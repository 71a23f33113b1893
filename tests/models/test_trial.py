"""From logged decisions to what an experiment found: one entry per person, once, in its arm, or counted why not."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.experiment import CONTROL, ENGINE, Plan
from engine.experiment_plan import Known, parse_plan
from engine.outcome import Outcome
from engine.records import DecisionRecord
from engine.signals import DAY
from models.serving import decide
from models.trial import BETTER, TOO_FEW, WORSE, Entry, Persons, Scope, entries_of, findings, judged, people_of
from tests.models.world import NOW, ask, setting, view

HORIZON, WINDOW = 7 * DAY, DAY
LATE = Scope(NOW + 100 * DAY, WINDOW)
KNOWN = Known({"web"}, set(), {"personalization"})


def plan(**more: Any) -> Plan:
    variants = [{"id": "off", "share": 0.5}, {"id": "on", "share": 0.5}]
    return parse_plan({"control": {"share": 0.2}, "experiments": [{"id": "x", "variants": variants}], **more}, KNOWN)


def entry(person: str, arm: str, at: int = 0, reward: float = 0.0) -> Entry:
    return Entry(person, NOW + at, arm, reward)


def test_a_persons_responses_within_the_horizon_are_added_up_once() -> None:
    made = [entry("a", "on", 0, 1.0), entry("a", "on", DAY, 1.0), entry("a", "on", HORIZON, 1.0), entry("b", "off", 5)]
    found = people_of(made[::-1], HORIZON, LATE)
    assert [(p.person, p.at, p.arm, p.responses) for p in found.judged] == [
        ("a", NOW, "on", 2.0),
        ("b", NOW + 5, "off", 0.0),
    ]
    assert found.dealt == {"on": 1, "off": 1}


def test_who_was_in_two_arms_leaves_the_analysis_and_is_counted() -> None:
    found = people_of([entry("a", "on"), entry("a", "off"), entry("b", "off")], HORIZON, LATE)
    assert ([p.person for p in found.judged], found.crossed) == (["b"], 1)


def test_who_is_outside_is_counted_by_reason_and_once() -> None:
    made = [entry("a", "outside:consent"), entry("a", "outside:consent", 1), entry("b", "outside:control")]
    found = people_of([*made, entry("c", "outside:consent"), entry("c", "on", 1)], HORIZON, LATE)
    assert found.outside == {"consent": 1, "control": 1}
    assert [p.person for p in found.judged] == ["c"]


def test_nobody_is_judged_before_horizon_and_window_are_closed() -> None:
    early = Scope(NOW + HORIZON + WINDOW - 1, WINDOW)
    assert people_of([entry("a", "on")], HORIZON, early).waiting == 1
    assert people_of([entry("a", "on")], HORIZON, Scope(early.now + 1, WINDOW)).waiting == 0


def logged(number: int, arms: dict[str, str]) -> DecisionRecord:
    return decide(ask(view(), number, arms=arms), setting())


def test_decisions_become_entries_of_the_person_they_are_about_today() -> None:
    records = [logged(1, {"x": "on", CONTROL: ENGINE}), logged(2, {}), logged(3, {"x": "on"})]
    shown = records[0].answer["actions"][0]["action_id"]
    said = [Outcome(records[0].decision_id, shown, kind, NOW + at) for kind, at in (("presented", 1), ("accepted", 2))]
    late = [Outcome(records[2].decision_id, shown, "accepted", NOW + WINDOW + 1)]
    outcomes: dict[str, Sequence[Outcome]] = {records[0].decision_id: said, records[2].decision_id: late}
    found = entries_of(records, outcomes, Persons({records[0].profile_id: "today"}), WINDOW)
    assert found == {
        "x": [Entry("today", NOW, "on", 1.0), Entry("today", NOW, "on", 0.0)],
        CONTROL: [Entry("today", NOW, ENGINE, 1.0)],
    }


def test_who_is_restricted_by_now_is_outside_whatever_the_arm_was() -> None:
    records = [logged(1, {"x": "on", CONTROL: ENGINE}), logged(2, {"x": "outside:consent"})]
    said = [Outcome(records[0].decision_id, records[0].answer["actions"][0]["action_id"], "accepted", NOW + 1)]
    persons = Persons({records[0].profile_id: "today"}, frozenset({"today"}))
    found = entries_of(records, {records[0].decision_id: said}, persons, WINDOW)
    assert {one.reward for some in found.values() for one in some} == {0.0}
    trial = judged(plan(), "x", found["x"], LATE)
    assert (trial.outside, [arm.dealt for arm in trial.arms]) == ({"restriction": 1}, [0, 0])


def crowd(rates: dict[str, float], people: int = 4000, seed: int = 1) -> list[Entry]:
    """People who fall to the arms evenly and respond at the arms' rates."""
    draw = np.random.default_rng(seed)
    arms = draw.choice(list(rates), people)
    return [entry(f"p{n}", arm, n, float(draw.random() < rates[arm])) for n, arm in enumerate(arms)]


def test_an_effect_is_found_with_its_sign_and_an_interval_around_it() -> None:
    [_, better] = judged(plan(), "x", crowd({"off": 0.1, "on": 0.2}), LATE).arms
    assert (better.arm, better.verdict) == ("on", BETTER)
    assert better.low is not None
    assert better.high is not None
    assert 0.0 < better.low < 0.1 < better.high
    [_, worse] = judged(plan(), "x", crowd({"off": 0.2, "on": 0.1}), LATE).arms
    assert worse.verdict == WORSE


def test_without_an_effect_or_people_nothing_is_concluded() -> None:
    even = judged(plan(), "x", crowd({"off": 0.1, "on": 0.1}), LATE)
    assert even.arms[1].verdict == "open"
    few = judged(plan(), "x", crowd({"off": 0.1, "on": 0.9}, people=50), LATE)
    assert (few.arms[1].verdict, few.arms[1].effect) == (TOO_FEW, None)
    assert "too few" in few.text


def test_the_engine_is_measured_against_the_control_group() -> None:
    draw = np.random.default_rng(2)
    made = [
        entry(f"p{n}", CONTROL if draw.random() < 0.2 else ENGINE, n, float(draw.random() < 0.1)) for n in range(3000)
    ]
    boosted = [Entry(e.person, e.at, e.arm, float(e.reward or (e.arm == ENGINE and hash(e.at) % 5 == 0))) for e in made]
    found = findings(plan(), {CONTROL: boosted}, 3000, LATE).experiments[0]
    assert (found.experiment, found.baseline) == (CONTROL, CONTROL)
    assert {arm.arm: arm.verdict for arm in found.arms} == {ENGINE: BETTER, CONTROL: ""}


def test_several_variants_share_the_error() -> None:
    third = [{"id": i, "share": s} for i, s in (("a", 0.4), ("b", 0.3), ("c", 0.3))]
    found = judged(plan(experiments=[{"id": "x", "variants": third}]), "x", [], LATE)
    assert found.alpha == pytest.approx(0.025)


def test_arms_of_the_wrong_size_are_not_to_be_believed() -> None:
    lost = [one for n, one in enumerate(crowd({"off": 0.1, "on": 0.2})) if one.arm == "off" or n % 4]
    found = judged(plan(), "x", lost, LATE)
    assert found.ratio_suspicious
    assert "sizes" in found.text
