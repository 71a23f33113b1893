"""The table of features: name, type, default, purpose and meaning of every column a model may see, and where it comes
from. Knows nothing of how a value is computed, of Feast or of models."""

import hashlib
from collections.abc import Iterator

import msgspec

from engine.parts import PAIR_PURPOSE, signal_purpose
from engine.signals import CHANNELS, DEFAULT_CURRENCY, HALF_LIVES

VIEWS = ("profile", "context", "action", "pair", "cross")
CATEGORICAL, NUMBER = "category", "number"
BUCKETS = 1000


class Feature(msgspec.Struct, frozen=True):
    """One column. `source` says which computation makes it and `argument` what from; NaN stands for masked.

    A categorical value is a bucket number in [0, BUCKETS); absent is -1. `after` marks what is known only once the
    decision has been made: no model that uses it may serve. `protected` marks an attribute that no model may use unless
    the installation allows it. `monotone` is 1 where a higher value may only make a yes more likely, -1 where only
    less, 0 where either.
    """

    name: str
    view: str
    source: str
    argument: str
    purpose: str
    meaning: str
    kind: str = NUMBER
    default: float = 0.0
    half_life: str = ""
    after: bool = False
    protected: bool = False
    monotone: int = 0

    @property
    def spec_hash(self) -> str:
        """Changes when anything that decides a value changes; the wording of the meaning does not."""
        parts = (self.name, self.view, self.source, self.argument, self.kind, repr(self.default), self.half_life)
        return hashlib.sha256("\0".join((*parts, self.purpose)).encode()).hexdigest()[:12]


DECAYED: dict[str, str] = {
    "events": "all events",
    "sessions": "sessions started",
    "page_views": "pages and screens seen",
    "product_views": "products viewed",
    "purchases": "orders completed",
    f"revenue.{DEFAULT_CURRENCY}": "revenue in minor units",
    "contacts": "support contacts",
    **{f"contacts.{channel}": f"support contacts by {channel}" for channel in CHANNELS},
    "complaints": "complaints filed",
    "responses.presented": "actions presented",
    "responses.accepted": "actions accepted",
    "responses.declined": "actions declined",
}
RECENCIES = ("events", "sessions", "page_views", "purchases", "contacts", "complaints", "responses.accepted")
TOTALS = ("events", "purchases", f"revenue.{DEFAULT_CURRENCY}", "contacts")
TRAITS: dict[str, tuple[str, str]] = {
    "plan": ("service", "the plan the customer is on"),
    "country": ("service", "country of residence"),
    "segment": ("personalization", "the segment the company put the customer in"),
    "language": ("service", "preferred language"),
    "device": ("personalization", "main device"),
}
NUMBER_TRAITS: dict[str, tuple[str, str]] = {
    "tenure_months": ("service", "months since the contract began"),
    "age": ("personalization", "age in years"),
    "monthly_bill": ("service", "monthly bill in money units"),
    "satisfaction": ("personalization", "last satisfaction score, 1 to 5"),
}
PROTECTED = frozenset({"age"})
MONOTONE: dict[str, int] = {
    "action_prior_rate": 1,
    "cross_acceptance": 1,
}
PAIRS: dict[str, str] = {
    "purchases": "purchases in the action's category",
    "views": "product views in the action's category",
    "presented": "actions of this category presented",
    "accepted": "actions of this category accepted",
    "declined": "actions of this category declined",
}


def column(name: str) -> str:
    """A column name that every tool accepts: lower case letters, digits and underscores."""
    return name.lower().replace(".", "_")


def _profile() -> Iterator[Feature]:
    for signal, meaning in DECAYED.items():
        purpose = signal_purpose(signal)
        for half in HALF_LIVES:
            name = f"{column(signal)}_{half}"
            text = f"{meaning}, decayed with half-life {half}"
            yield Feature(name, "profile", "decayed", signal, purpose, text, half_life=half)
    for signal in RECENCIES:
        name, purpose = f"{column(signal)}_days", signal_purpose(signal)
        text = f"days since the latest of {signal}"
        yield Feature(name, "profile", "recency", signal, purpose, text, default=-1.0)
    for signal in TOTALS:
        yield Feature(f"{column(signal)}_total", "profile", "total", signal, signal_purpose(signal), f"{signal}, ever")
    yield Feature("unresolved_issues", "profile", "open_issues", "", "service", "issues that are open")
    yield Feature("known_days", "profile", "known", "", "service", "days since the first event", default=-1.0)
    for trait, (purpose, meaning) in TRAITS.items():
        yield Feature(f"trait_{trait}", "profile", "trait", trait, purpose, meaning, CATEGORICAL, -1.0)
    for trait, (purpose, meaning) in NUMBER_TRAITS.items():
        name, protected = f"trait_{trait}", trait in PROTECTED
        yield Feature(name, "profile", "number_trait", trait, purpose, meaning, default=-1.0, protected=protected)
    last = "the category of the last purchase or acceptance"
    yield Feature("last_category", "profile", "latest", "category", PAIR_PURPOSE, last, CATEGORICAL, -1.0)


def _context() -> Iterator[Feature]:
    for name, meaning in (("reason", "why the customer is in touch"), ("topic", "what it is about")):
        yield Feature(f"context_{name}", "context", "context", name, "service", meaning, CATEGORICAL, -1.0)
    yield Feature("context_placement", "context", "placement", "", "service", "where it is shown", CATEGORICAL, -1.0)
    yield Feature(
        "context_sentiment", "context", "context_number", "sentiment", "service", "mood of the contact, -1 to 1"
    )
    yield Feature("context_wait_minutes", "context", "context_number", "wait_minutes", "service", "minutes waited")
    yield Feature("hour", "context", "hour", "", "service", "hour of day, UTC")
    yield Feature("weekday", "context", "weekday", "", "service", "day of week, Monday 0")


def _action() -> Iterator[Feature]:
    for name, kind, meaning in (
        ("action", CATEGORICAL, "which action"),
        ("category", CATEGORICAL, "the action's category"),
        ("value", NUMBER, "what an acceptance is worth"),
        ("cost", NUMBER, "what an acceptance costs"),
        ("prior_rate", NUMBER, "the acceptance rate assumed before any data"),
    ):
        default = -1.0 if kind == CATEGORICAL else 0.0
        yield Feature(f"action_{name}", "action", "action", name, "service", meaning, kind, default)


def _pair() -> Iterator[Feature]:
    for signal, meaning in PAIRS.items():
        for half in HALF_LIVES:
            name = f"pair_{signal}_{half}"
            text = f"{meaning}, decayed with half-life {half}"
            yield Feature(name, "pair", "pair", signal, PAIR_PURPOSE, text, half_life=half)
    chosen = "1 where the last purchase or acceptance was in the action's category"
    yield Feature("pair_last_category", "pair", "same", "category", PAIR_PURPOSE, chosen)
    again = "1 where the last accepted action was this one"
    yield Feature("pair_last_action", "pair", "same", "action", PAIR_PURPOSE, again)


def _cross() -> Iterator[Feature]:
    for name, meaning in (
        ("impressions", "how often the action was presented in this segment"),
        ("acceptance", "its acceptance rate in this segment, smoothed towards the prior rate"),
    ):
        yield Feature(f"cross_{name}", "cross", "cross", name, "service", meaning)


def _declared() -> Iterator[Feature]:
    for feature in (*_profile(), *_context(), *_action(), *_pair(), *_cross()):
        yield msgspec.structs.replace(feature, monotone=MONOTONE.get(feature.name, 0))


FEATURES: tuple[Feature, ...] = tuple(_declared())
COLUMNS: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
INDEX: dict[str, int] = {name: position for position, name in enumerate(COLUMNS)}
BY_VIEW: dict[str, tuple[Feature, ...]] = {v: tuple(f for f in FEATURES if f.view == v) for v in VIEWS}
# which trait a column shows: it belongs to the trait's configured purpose as well as to its own
TRAIT_OF: dict[str, str] = {f.name: f.argument for f in FEATURES if f.source in ("trait", "number_trait")}
SPEC_HASH = hashlib.sha256("".join(f.spec_hash for f in FEATURES).encode()).hexdigest()[:16]
