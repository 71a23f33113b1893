"""The catalogue names the place of every error, and its rules never fail on a person's data."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog import Catalogue, instant, parse_catalogue
from engine.errors import InvalidCatalogue
from engine.rules import TOGETHER, Facts, Rule, RuleList
from tests.strategies import START

ACTION: dict[str, Any] = {
    "id": "call_back",
    "title": "Call back",
    "category": "care",
    "purpose": "service",
    "channels": ["voice"],
    "placements": ["desk"],
    "content": {"en": "When may we call?"},
    "value": 10,
    "prior_rate": 0.1,
}
DESK: dict[str, Any] = {"id": "desk", "channel": "voice"}
QUEUE: dict[str, Any] = {"id": "q", "title": "Q", "channel": "voice", "placement": "desk", "actions": ["call_back"]}


def document(**parts: Any) -> dict[str, Any]:
    return {"version": "1", "actions": [ACTION], "placements": [DESK], "queues": [QUEUE], **parts}


def of_action(**changes: Any) -> dict[str, Any]:
    return document(actions=[ACTION, {**ACTION, "id": "second", **changes}])


def of_policy(**changes: Any) -> dict[str, Any]:
    return document(contact_policy=changes)


WRONG: dict[str, dict[str, Any]] = {
    "version": document(version=1),
    "actions[1].value": of_action(value="ten"),
    "actions[1].colour": of_action(colour="red"),
    "actions[1].channels": of_action(channels=["pigeon"]),
    "actions[1].placements": of_action(placements=["nowhere"]),
    "actions[1].prior_rate": of_action(prior_rate=1.5),
    "actions[1].content": of_action(content={}),
    "actions[1].category": of_action(category="x" * 65),
    "actions[1].when": of_action(when="traits.plan =="),
    "actions[1].applicability": of_action(applicability="context.reason =="),
    "actions[1].suitability": of_action(suitability="nobody.knows"),
    "actions[1].needs_human": of_action(needs_human=True),
    "actions[1].cap": of_action(cap={"2d": 1}),
    "actions[1].start": of_action(start="soon"),
    "actions[1].end": of_action(end="2026-13-01"),
    "actions[1].cost": of_action(cost=-1),
    "actions[1].lever": of_action(lever=float("nan")),
    "actions[1].weights.reason:billing": of_action(weights={"reason:billing": float("inf")}),
    "actions[1].id": of_action(id="call_back"),
    "placements[0].channel": document(placements=[{**DESK, "channel": "fax"}]),
    "placements[0].limit": document(placements=[{**DESK, "limit": 0}]),
    "placements[0].exploration.kind": document(placements=[{**DESK, "exploration": {"kind": "greedy"}}]),
    "placements[0].exploration.share": document(
        placements=[{**DESK, "exploration": {"kind": "epsilon", "share": 1.1}}]
    ),
    "placements[1].id": document(placements=[DESK, DESK]),
    "contact_policy.caps": of_policy(caps={"1h": 1}),
    "contact_policy.channel_caps": of_policy(channel_caps={"fax": {"1d": 1}}),
    "contact_policy.channel_caps.sms": of_policy(channel_caps={"sms": {"1d": -1}}),
    "contact_policy.quiet_start": of_policy(quiet_start=24),
    "contact_policy.quiet_channels": of_policy(quiet_channels=["fax"]),
    "contact_policy.default_zone": of_policy(default_zone="Mars/Olympus"),
    "contact_policy.rest_after_decline_days": of_policy(rest_after_decline_days=-1),
    "queues[0].actions": document(queues=[{**QUEUE, "actions": ["unknown"]}]),
    "queues[0].placement": document(queues=[{**QUEUE, "placement": "nowhere"}]),
    "queues[0].when": document(queues=[{**QUEUE, "when": "nonsense("}]),
    "queues[0].urgency": document(queues=[{**QUEUE, "urgency": "1 +"}]),
    "queues[1].id": document(queues=[QUEUE, QUEUE]),
    "segment": document(segment="who?"),
    "rewards": document(rewards={"applauded": 1.0}),
    "rewards.accepted": document(rewards={"accepted": 1.5}),
    "rewards.complaint": document(rewards={"complaint": -2.0}),
}


@pytest.mark.parametrize(("path", "wrong"), WRONG.items(), ids=WRONG)
def test_an_error_names_its_place(path: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidCatalogue) as invalid:
        parse_catalogue(wrong)
    # an unknown field is named in the sentence, its owner in the path
    assert invalid.value.path == path or (invalid.value.path == "actions[1]" and "colour" in invalid.value.message)
    assert "$" not in str(invalid.value)


@pytest.mark.parametrize("channel", ["whatsapp", "push", "email", "other"])
def test_whatever_a_person_may_refuse_an_action_may_be_offered_by(channel: str) -> None:
    found = parse_catalogue(document(placements=[{**DESK, "channel": channel}]))
    assert found.placements["desk"].channel == channel


@pytest.mark.parametrize("data", [None, [], "actions", {"version": "1"}])
def test_what_is_no_catalogue_is_refused(data: Any) -> None:
    with pytest.raises(InvalidCatalogue, match="catalogue"):
        parse_catalogue(data)


def test_a_catalogue_knows_what_is_shown_where() -> None:
    catalogue: Catalogue = parse_catalogue(of_action(placements=[], category="offers"))
    assert [action.id for action in catalogue.placed("desk")] == ["call_back"]
    assert catalogue.categories == ("care", "offers")


def test_a_date_is_the_start_of_its_day_in_utc() -> None:
    assert instant("2026-03-01", 0) == instant("2026-03-01T01:00:00+01:00", 0)
    assert instant(None, 7) == 7


FACTS = Facts({"plan": "gold", "tags": ["a"]}, {"events_1d": 2.5}, {"reason": "billing"})
RULES: dict[str, bool] = {
    "true": True,
    "false": False,
    "traits.plan == 'gold'": True,
    "signals.events_1d > 2.0 && context.reason == 'billing'": True,
    "traits.masked == 'gold'": False,
    "traits.masked != 'gold'": False,
    "!has(traits.masked)": True,
    "traits.plan > 3": False,
    "traits.tags[7] == 'a'": False,
    "traits.plan": False,
    "1": False,
    "traits.plan.matches('(')": False,
}


@pytest.mark.parametrize(("source", "holds"), RULES.items(), ids=RULES)
def test_what_cannot_be_evaluated_does_not_hold(source: str, holds: bool) -> None:
    assert Rule(source).holds(FACTS) is holds


def test_a_rule_may_be_a_number_or_a_text() -> None:
    assert Rule("signals.events_1d * 2.0").number(FACTS) == 5.0
    assert (Rule("true").number(FACTS), Rule("traits.masked").number(FACTS)) == (1.0, None)
    assert Rule("traits.plan").text(FACTS) == "gold"
    assert Rule("traits.masked").text(FACTS) is None
    assert Rule("1").text(FACTS) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(st.text(max_size=3), children, max_size=2),
    max_leaves=5,
)


@given(values)
def test_no_value_breaks_a_rule(value: Any) -> None:
    facts = Facts({"plan": value}, {"events_1d": START}, {"plan": value})
    for source in (
        "traits.plan == 'gold'",
        "traits.plan > 3",
        "size(traits.plan) > 1",
        "traits.plan.x[0] == context.plan",
    ):
        assert Rule(source).holds(facts) in (True, False)
        Rule(source).number(facts)
        Rule(source).text(facts)


TEXTS = (
    "true",
    "traits.plan == 'gold'",
    "has(traits.plan) && traits.plan == 'gold'",
    "signals.contacts_30d > 2.0 // often",
    "context.reason in ['billing', 'fault']",
    "1",
    "(" * 20 + "true" + ")" * 20,
)


@given(
    st.lists(st.sampled_from(TEXTS), max_size=2 * TOGETHER + 1),
    st.sampled_from([{}, {"plan": "gold"}, {"plan": 7}]),
    st.sampled_from([{}, {"contacts_30d": 3.0}]),
    st.sampled_from([{}, {"reason": "fault"}]),
)
def test_rules_asked_together_answer_as_each_alone(
    texts: list[str], traits: dict[str, Any], signals: dict[str, Any], context: dict[str, Any]
) -> None:
    rules, facts = [Rule(text) for text in texts], Facts(traits, signals, context)
    assert RuleList(rules).hold(facts) == [rule.holds(facts) for rule in rules]
