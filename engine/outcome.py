"""Outcomes: what became of a decision, what an outcome is worth, and which outcomes were an approach to the customer.
Knows nothing of how the decision was made."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from engine.events import Event

KINDS = (
    "presented",
    "offered",
    "accepted",
    "declined",
    "completed",
    "clicked",
    "complaint",
    "csat",
    "churned",
    "skipped",
)
SHOWN = frozenset({"presented", "offered"})
BY_CUSTOMER = frozenset(KINDS) - SHOWN - {"skipped"}
DEFAULT_REWARDS: Mapping[str, float] = MappingProxyType(
    {"accepted": 1.0, "completed": 1.0, "clicked": 1.0, "complaint": -1.0, "churned": -1.0}
)
WINDOW = 7 * 86_400_000
# the property of an outcome that says whether its placement is a contact
CONTACT = "contact"


class Outcome(msgspec.Struct, frozen=True):
    """One thing that happened after a decision. `at` in ms; `value` is what the customer's act was worth, if known;
    `by` says who saw it, `reason` why (for `skipped`)."""

    decision_id: str
    action_id: str
    outcome: str
    at: int
    value: float | None = None
    by: str = ""
    reason: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What a decision taught us: which action was presented and its reward in [0, 1]; None where nothing was shown."""

    action_id: str | None
    reward: float
    skipped: bool


def outcome_id(decision_id: str, action_id: str, outcome: str) -> str:
    """The message id of an outcome: saying the same thing twice is saying it once."""
    return f"{decision_id}:{action_id}:{outcome}"


def contact_of(event: Event) -> tuple[str, str, str, bool] | None:
    """(channel, action id, group, whether that was an approach) when the event says that an action was shown. One that
    does not say where is taken for an approach."""
    if event.kind != "outcome" or event.name not in SHOWN:
        return None
    channel, action, group = (str(event.properties.get(name, "")) for name in ("channel", "action_id", "group"))
    return channel, action, group, event.properties.get(CONTACT) is not False


def judge(outcomes: Iterable[Outcome], rewards: Mapping[str, float] = DEFAULT_REWARDS) -> Verdict:
    """The reward of a decision: the customer's best outcome on what was presented (an answer implies presentation),
    less the worst that followed it: accepted and then complained about is worth less, though never less than nothing.

    The agent's `skipped` is counted apart; it is no refusal by the customer.
    """
    ordered = sorted(outcomes, key=lambda o: (o.at, o.action_id, o.outcome))
    shown = [o for o in ordered if o.outcome in SHOWN] or [o for o in ordered if o.outcome in BY_CUSTOMER]
    skipped = any(o.outcome == "skipped" for o in ordered)
    if not shown:
        return Verdict(None, 0.0, skipped)
    action = shown[0].action_id
    gains = [rewards.get(o.outcome, 0.0) for o in ordered if o.action_id == action]
    reward = max(0.0, *gains) + min(0.0, *gains)
    return Verdict(action, min(max(reward, 0.0), 1.0), skipped)


def window_closed(decided_at: int, now: int, window: int = WINDOW) -> bool:
    return now - decided_at >= window
