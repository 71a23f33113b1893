"""The simulator's truth: how likely a simulated customer says yes to each action, from what the system can observe.
Invented figures; knows nothing of how people or contacts are drawn, of models or of HTTP."""

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

REASONS = ("billing", "payment", "cancel", "technical", "complaint", "change_plan", "moving", "question")
TOPICS = ("internet", "mobile", "tv")
SEGMENTS = ("digital", "family", "senior", "business")
PLANS = ("basic", "plus", "premium")
DEVICES = ("android", "ios", "other")
INTERESTS = ("tv", "mobile", "smart_home", "protection")

FLOOR = -3.0
FITS = 4.2
JITTER = 0.2
INTERESTED, UNINTERESTED, OWNS = 1.5, -2.0, -1.5
OPEN_ISSUE_SALES, OPEN_ISSUE_CARE = -2.0, 1.0
COOL_MOOD_SALES = -0.8
HIGH_BILL = 60.0

# When a customer is open to hear of something new.
BY_REASON_TO_SELL = {
    "question": 1.0,
    "billing": 0.9,
    "change_plan": 0.8,
    "moving": 0.7,
    "payment": 0.7,
    "technical": 0.5,
}
# Which reasons for a contact an action answers, and how well: a share of FITS, added to the floor as log-odds.
BY_REASON: dict[str, dict[str, float]] = {
    "self_service_guide": {"technical": 1.0, "question": 0.5},
    "call_back": {"complaint": 0.9, "payment": 0.4},
    "outage_info": {"technical": 0.6},
    "e_bill": {"billing": 0.9, "payment": 0.3},
    "apology_credit": {
        "complaint": 1.0,
        **dict.fromkeys(("billing", "payment", "cancel", "technical", "moving"), 0.45),
    },
    "technician_visit": {"technical": 1.0},
    "payment_plan": {"payment": 1.1, "billing": 0.3},
    "fraud_check": {"billing": 0.5},
    "plan_rightsize": {"billing": 0.9, "cancel": 0.5},
    "moving_service": {"moving": 1.1},
    "retention_offer": {"cancel": 1.1},
    "loyalty_gift": {"question": 0.5},
    "welcome_tour": {"question": 0.8},
    "plan_upgrade": {"change_plan": 1.0},
    "contract_renewal": {"change_plan": 1.0, "moving": 0.3},
    "survey": {"question": 0.4},
    **{f"cross_sell_{category}": BY_REASON_TO_SELL for category in INTERESTS},
}
# To whom an action speaks; the same reason asks for another action in another segment.
BY_SEGMENT: dict[str, dict[str, float]] = {
    "self_service_guide": {"digital": 1.0, "family": -1.5, "senior": -2.0, "business": -1.5},
    "call_back": {"digital": -1.5, "family": -1.5, "senior": -0.5, "business": 1.0},
    "e_bill": {"digital": 1.0, "family": -1.5, "senior": -2.0, "business": 0.5},
    "apology_credit": {"business": -1.0},
    "technician_visit": {"digital": -2.0},
    "plan_rightsize": {"family": 0.5, "senior": 0.5, "digital": -2.0, "business": -2.0},
    "plan_upgrade": {"digital": 0.5, "family": 0.5, "senior": -2.0, "business": -2.0},
    "contract_renewal": {"senior": 0.5, "business": 0.5, "digital": -2.0, "family": -2.0},
}
# What a technical problem is about decides what helps.
BY_TOPIC: dict[str, dict[str, float]] = {
    "technician_visit": {"mobile": -2.5},
    "self_service_guide": {"mobile": -1.0},
    "outage_info": {"mobile": 2.0, "internet": -1.0, "tv": -1.0},
}
BY_PLAN: dict[str, dict[str, float]] = {
    "retention_offer": {"premium": 0.6, "basic": -0.6},
    "plan_upgrade": {"basic": 0.5},
    "payment_plan": {"basic": 0.4, "premium": -0.4},
}
SELLS: dict[str, str] = {f"cross_sell_{category}": category for category in INTERESTS}
SALES = frozenset({*SELLS, "plan_upgrade", "contract_renewal"})
CARE = frozenset({"apology_credit", "call_back"})


class Situation(msgspec.Struct, frozen=True, eq=False):
    """n contacts, one entry each. Indices point into the tuples above; `views` and `purchases` count the person's own
    history by category, shape (n, len(INTERESTS)); `mood` lies in [-1, 1]; `bill` is in money units."""

    reason: Ints
    topic: Ints
    segment: Ints
    plan: Ints
    bill: Floats
    mood: Floats
    open_issue: Flags
    views: Ints
    purchases: Ints


def _table(entries: dict[str, dict[str, float]], action: str, columns: tuple[str, ...]) -> Floats:
    return np.asarray([entries.get(action, {}).get(column, 0.0) for column in columns])


class Taste(msgspec.Struct, frozen=True):
    """What customers like. Before a change each segment likes what its own row says, and customers want more of what
    they have looked at; after it each likes what the next one liked, and they want what is new to them."""

    segments: tuple[str, ...] = SEGMENTS
    looked_at: float = INTERESTED
    new: float = UNINTERESTED


BEFORE = Taste()
AFTER = Taste((*SEGMENTS[1:], SEGMENTS[0]), UNINTERESTED, INTERESTED)


def _log_odds(action: str, now: Situation, jitter: Floats, taste: Taste) -> Floats:
    result = FLOOR + FITS * _table(BY_REASON, action, REASONS)[now.reason] + jitter[now.reason]
    # whom an action suits matters once it answers the reason at all
    answers = _table(BY_REASON, action, REASONS)[now.reason] > 0.0
    result += np.where(answers, 1.0, 0.2) * _table(BY_SEGMENT, action, taste.segments)[now.segment]
    technical = REASONS.index("technical")
    result += np.where(now.reason == technical, _table(BY_TOPIC, action, TOPICS)[now.topic], 0.0)
    result += _table(BY_PLAN, action, PLANS)[now.plan]
    if action == "plan_rightsize":
        result += np.where(now.bill >= HIGH_BILL, 0.6, -0.4)
    if action in SELLS:
        category = INTERESTS.index(SELLS[action])
        result += np.where(now.views[:, category] > 0, taste.looked_at, taste.new)
        result += np.where(now.purchases[:, category] > 0, OWNS, 0.0)
    if action in SALES:
        result += np.where(now.open_issue, OPEN_ISSUE_SALES, 0.0) + np.where(now.mood < 0.0, COOL_MOOD_SALES, 0.0)
    if action in CARE:
        result += np.where(now.open_issue, OPEN_ISSUE_CARE, 0.0)
    return result


def acceptance(actions: tuple[str, ...], now: Situation, seed: int, taste: Taste = BEFORE) -> Floats:
    """True probability of a yes to each action: shape (contacts, len(actions)). The seed shifts the tables a little,
    so that nothing learned or tuned on one seed is exactly right for another."""
    shifts = np.random.default_rng((seed, 7)).normal(0.0, JITTER, (len(BY_REASON), len(REASONS)))
    rows = dict(zip(sorted(BY_REASON), shifts, strict=True))
    log_odds = np.stack([_log_odds(action, now, rows[action], taste) for action in actions], axis=1)
    return 1.0 / (1.0 + np.exp(-log_odds))
