"""What a tracked event claims about a decision, and the outcome event that follows."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from engine.attribution import claimed_outcome, outcome_event
from engine.catalog import Catalogue, parse_catalogue
from engine.decision_id import decision_id
from engine.errors import Rejected
from engine.events import Event
from engine.outcome import Outcome, contact_of
from engine.records import DecisionRecord

HOME = "abcdefghij234567"
DECISION = decision_id(HOME, 1000, b"0123456789")
ACTION: Mapping[str, Any] = {
    "id": "tv_offer",
    "title": "TV",
    "category": "tv",
    "purpose": "marketing",
    "channels": ["voice", "email"],
    "placements": ["desk"],
    "content": {"en": "TV?"},
    "value": 10.0,
    "prior_rate": 0.1,
    "group": "offers",
}
CATALOGUE: Catalogue = parse_catalogue(
    {"version": "1", "actions": [ACTION], "placements": [{"id": "desk", "channel": "voice"}]}
)
RECORD = DecisionRecord(
    decision_id=DECISION,
    at=1000,
    profile_id=HOME,
    profile_version="0.1",
    placement="desk",
    context={},
    segment="premium",
    limit=1,
    visible={},
    candidates=(),
    vectors=b"",
    spec_hash="",
    cross=(),
    slate=(),
    blocked=(),
    consent={},
    consent_hash="",
    seed=1,
    model="prior",
    catalogue="1",
    policy={},
    positions=(),
    versions={},
    answer={"actions": [{"action_id": "tv_offer", "channel": "email"}, {"action_id": "gone", "channel": "web"}]},
)


def tracked(name: str, **properties: Any) -> Event:
    return Event("m-1", "shop", "track", name, 2000, 2000, HOME, (), properties=properties)


@pytest.mark.parametrize(
    ("name", "said", "outcome"),
    [
        ("Promotion Viewed", None, "presented"),
        ("Promotion Clicked", None, "clicked"),
        ("Order Completed", None, "accepted"),
        ("Anything", "declined", "declined"),
        ("Order Completed", "completed", "completed"),
    ],
)
def test_the_outcome_is_what_the_event_says_or_stands_for(name: str, said: str | None, outcome: str) -> None:
    found = claimed_outcome(tracked(name, decision_id=DECISION, **({"outcome": said} if said else {})))
    assert found is not None
    assert (found.decision_id, found.outcome, found.at) == (DECISION, outcome, 2000)


@pytest.mark.parametrize(
    "event",
    [
        tracked("Order Completed"),
        tracked("Order Completed", decision_id="nonsense"),
        tracked("Order Completed", decision_id=7),
        tracked("Anything", decision_id=DECISION),
        tracked("Order Completed", decision_id=DECISION, outcome="loved"),
        tracked("Order Completed", decision_id=DECISION, outcome=["accepted"]),
        msgspec.structs.replace(tracked("Order Completed", decision_id=DECISION), kind="page"),
    ],
)
def test_what_names_no_decision_or_no_outcome_claims_nothing(event: Event) -> None:
    assert claimed_outcome(event) is None


@pytest.mark.parametrize(
    ("properties", "value"),
    [({"value": 3}, 3.0), ({"revenue": 2.5, "total": 9}, 2.5), ({"total": 9}, 9.0), ({"total": "9"}, None), ({}, None)],
)
def test_the_worth_is_the_first_amount(properties: dict[str, Any], value: float | None) -> None:
    found = claimed_outcome(tracked("Order Completed", decision_id=DECISION, **properties))
    assert found is not None
    assert found.value == value


def test_the_outcome_is_an_event_of_the_decisions_profile_with_all_attribution_needs() -> None:
    outcome = Outcome(DECISION, "tv_offer", "accepted", 2000, 12.5, "agent-7", "liked it")
    event = outcome_event(outcome, RECORD, CATALOGUE, 3000)
    assert (event.kind, event.name, event.home, event.source) == ("outcome", "accepted", HOME, "rapport")
    assert (event.at, event.received, event.identifiers) == (2000, 3000, ())
    assert event.message_id == f"{DECISION}:tv_offer:accepted"
    assert event.properties == {
        "decision_id": DECISION,
        "action_id": "tv_offer",
        "category": "tv",
        "channel": "email",
        "group": "offers",
        "segment": "premium",
        "placement": "desk",
        "contact": False,
        "value": 12.5,
        "by": "agent-7",
        "reason": "liked it",
    }


def test_an_unnamed_action_is_the_first_of_the_answer() -> None:
    event = outcome_event(Outcome(DECISION, "", "presented", 2000), RECORD, CATALOGUE, 2000)
    assert contact_of(event) == ("email", "tv_offer", "offers", False)
    assert "value" not in event.properties


def test_an_action_that_left_the_catalogue_keeps_its_outcome() -> None:
    event = outcome_event(Outcome(DECISION, "gone", "presented", 2000), RECORD, CATALOGUE, 2000)
    assert (event.properties["category"], event.properties["channel"]) == ("", "web")


def test_an_action_the_decision_never_answered_with_is_refused() -> None:
    with pytest.raises(Rejected) as refused:
        outcome_event(Outcome(DECISION, "other", "presented", 2000), RECORD, CATALOGUE, 2000)
    assert refused.value.code == "unknown_action"


def test_without_a_record_the_catalogue_alone_speaks() -> None:
    event = outcome_event(Outcome(DECISION, "tv_offer", "presented", 9000), None, CATALOGUE, 3000)
    assert event.at == 3000
    assert (event.properties["channel"], event.properties["segment"]) == ("voice", "")
    assert contact_of(event) == ("voice", "tv_offer", "offers", True)


def test_at_a_placement_that_left_the_catalogue_it_counts_as_an_approach() -> None:
    elsewhere = msgspec.structs.replace(RECORD, placement="gone")
    event = outcome_event(Outcome(DECISION, "tv_offer", "presented", 2000), elsewhere, CATALOGUE, 2000)
    assert "contact" not in event.properties
    assert contact_of(event) == ("email", "tv_offer", "offers", True)
