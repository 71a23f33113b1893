"""How an outcome finds its decision: what a tracked event claims about one, and the outcome as an event of the
decision's profile. Knows the decision record and the catalogue; reads neither itself."""

from collections.abc import Mapping
from typing import Any

from engine.catalog import Action, Catalogue
from engine.decision_id import is_decision_id, profile_of
from engine.errors import Rejected
from engine.events import OWN_SOURCE, Event
from engine.outcome import CONTACT, KINDS, Outcome, outcome_id
from engine.records import DecisionRecord

OUTCOME_OF: dict[str, str] = {
    "Promotion Viewed": "presented",
    "Promotion Clicked": "clicked",
    "Email Opened": "presented",
    "Email Link Clicked": "clicked",
    "Order Completed": "accepted",
}
_WORTH = ("value", "revenue", "total")
_LONGEST = 128


def _short(properties: Mapping[str, Any], name: str) -> str:
    value = properties.get(name)
    return value[:_LONGEST] if isinstance(value, str) else ""


def _worth(properties: Mapping[str, Any]) -> float | None:
    amounts = (properties.get(name) for name in _WORTH)
    return next((float(a) for a in amounts if isinstance(a, int | float) and not isinstance(a, bool)), None)


def claimed_outcome(event: Event) -> Outcome | None:
    """What a tracked event with `properties.decision_id` says became of it; None where it says nothing we know.

    The outcome is `properties.outcome`, else what the event's name stands for; an absent `action_id` stays empty.
    """
    if event.kind != "track":
        return None
    decision, said = event.properties.get("decision_id"), event.properties.get("outcome")
    outcome = OUTCOME_OF.get(event.name) if said is None else said
    if not isinstance(decision, str) or not is_decision_id(decision) or outcome not in KINDS:
        return None
    properties = event.properties
    return Outcome(
        decision_id=decision,
        action_id=_short(properties, "action_id"),
        outcome=outcome,
        at=event.at,
        value=_worth(properties),
        by=_short(properties, "by"),
        reason=_short(properties, "reason"),
    )


def _answered(record: DecisionRecord, action_id: str) -> dict[str, Any]:
    actions: list[dict[str, Any]] = record.answer.get("actions", [])
    if not action_id and actions:
        return actions[0]
    found = next((a for a in actions if a["action_id"] == action_id), None)
    if found is None:
        raise Rejected("unknown_action", "the decision did not answer with this action; name one of its actions")
    return found


def _channel(action: Action | None) -> str:
    return action.channels[0] if action is not None and action.channels else ""


def outcome_event(outcome: Outcome, record: DecisionRecord | None, catalogue: Catalogue, received: int) -> Event:
    """The outcome as an event of the decision's profile; saying it twice is saying it once (derived message id).

    Segment and placement come from the decision, category, group and whether the placement is a contact from the
    catalogue, so that attribution needs no join. Without a record they stay empty, and it is not said whether it was a
    contact. Raises `Rejected` where the decision never answered with that action.
    """
    answered = _answered(record, outcome.action_id) if record is not None else {}
    action_id = str(answered.get("action_id", outcome.action_id))
    action = catalogue.actions.get(action_id)
    placement = catalogue.placements.get(record.placement) if record is not None else None
    properties: dict[str, Any] = {
        "decision_id": outcome.decision_id,
        "action_id": action_id,
        "category": action.category if action is not None else "",
        "channel": str(answered.get("channel") or _channel(action)),
        "group": action.group if action is not None else "",
        "segment": record.segment if record is not None else "",
        "placement": record.placement if record is not None else "",
        CONTACT: placement.contact if placement is not None else None,
        "value": outcome.value,
        "by": outcome.by,
        "reason": outcome.reason,
    }
    return Event(
        message_id=outcome_id(outcome.decision_id, action_id, outcome.outcome),
        source=OWN_SOURCE,
        kind="outcome",
        name=outcome.outcome,
        at=min(outcome.at, received),
        received=received,
        home=profile_of(outcome.decision_id),
        identifiers=(),
        properties={name: value for name, value in properties.items() if value is not None},
    )
