"""Signals: what an event adds to a person's counters, and forward-decayed sums that can be added in any order
(Cormode, Shkapenyuk, Srivastava, Xu, ICDE 2009). Knows nothing of storage, models or who may look."""

import math
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec

from engine.events import Event

DAY = 86_400_000
HALF_LIVES: dict[str, int] = {"1d": DAY, "30d": 30 * DAY}
_HALF_LIFE_MS = tuple(HALF_LIVES.values())
DEFAULT_CURRENCY = "USD"
NO_CURRENCY = "XXX"
# a sum of ten million such amounts still fits 64 bits
LARGEST_AMOUNT = 10**12
_EXPONENTS = {"JPY": 0, "KRW": 0, "CLP": 0, "VND": 0, "BHD": 3, "KWD": 3, "TND": 3}
CHANNELS = ("voice", "email", "chat", "sms", "web", "other")
# by which ways a person may say yes or no to being contacted, and by which an action may be offered
REACHED_BY = ("email", "sms", "voice", "whatsapp", "push", "chat", "web")
WAYS = (*REACHED_BY, "other")
_CHANNEL_NAMES = {"call": "voice", "phone": "voice", "whatsapp": "chat", "messenger": "chat"}
CONTACT_EVENTS: dict[str, str] = {
    "Support Contact": "other",
    "Call Started": "voice",
    "Live Chat Conversation Started": "chat",
    "Ticket Created": "other",
}
MAX_CATEGORIES_PER_EVENT = 20
LONGEST_CATEGORY = 64
Observation = tuple[str, int]
_NUMERIC = (int, float, str)


class Signal(msgspec.Struct, frozen=True, array_like=True):
    """One counter: integer total, time of its latest event, and one decayed sum per half-life as of that time."""

    last: int
    total: int
    sums: tuple[float, ...]


def add(left: Signal, right: Signal) -> Signal:
    """The sum of two signals, brought to the later reference time."""
    late, early = (right, left) if left.last < right.last else (left, right)
    elapsed = late.last - early.last
    sums = [a + b * math.exp2(-elapsed / h) for a, b, h in zip(late.sums, early.sums, _HALF_LIFE_MS, strict=True)]
    return Signal(late.last, left.total + right.total, tuple(sums))


def single(amount: int, at: int) -> Signal:
    return Signal(at, amount, (float(amount),) * len(_HALF_LIFE_MS))


def combine(into: dict[str, Signal], more: Mapping[str, Signal]) -> dict[str, Signal]:
    return {**into, **{name: add(into[name], signal) if name in into else signal for name, signal in more.items()}}


def value_at(signal: Signal, half_life: str, at: int) -> float:
    """The decayed sum at `at` (ms). A time before the signal's own is read as that time: nothing grows backwards."""
    index = tuple(HALF_LIVES).index(half_life)
    return signal.sums[index] * math.exp2(-max(at - signal.last, 0) / _HALF_LIFE_MS[index])


def minor_digits(currency: str) -> int:
    """How many digits of an amount in minor units lie behind the decimal point."""
    return _EXPONENTS.get(currency, 2)


def minor_units(amount: Any, currency: str = DEFAULT_CURRENCY) -> int | None:
    """Money as an integer of the currency's minor unit, half to even; None where it is no amount."""
    if isinstance(amount, bool) or not isinstance(amount, _NUMERIC):
        return None
    try:
        scaled = Decimal(str(amount)).scaleb(minor_digits(currency))
        return int(scaled.to_integral_value(ROUND_HALF_EVEN)) if abs(scaled) <= LARGEST_AMOUNT else None
    except (ArithmeticError, ValueError):
        return None


def channel_of(event: Event) -> str:
    """The event's contact channel, folded onto the known ones; where it names none, its name may."""
    named = event.properties.get("channel")
    if not isinstance(named, str):
        return CONTACT_EVENTS.get(event.name, "other")
    channel = _CHANNEL_NAMES.get(named.lower(), named.lower())
    return channel if channel in CHANNELS else "other"


def currency_of(properties: Mapping[str, Any]) -> str:
    """The three letters of the currency; the default where none is named, `XXX` where it is none."""
    named = properties.get("currency")
    if named is None or named == "":
        return DEFAULT_CURRENCY
    code = named.strip().upper() if isinstance(named, str) else ""
    return code if len(code) == 3 and code.isascii() and code.isalpha() else NO_CURRENCY


def categories_of(properties: Mapping[str, Any]) -> tuple[str, ...]:
    """Product categories named by an ecommerce event, each once, in order."""
    found: dict[str, None] = {}
    products = properties.get("products")
    for item in (properties, *(products if isinstance(products, list) else ())):
        category = item.get("category") if isinstance(item, dict) else None
        if isinstance(category, str) and category:
            found[category[:LONGEST_CATEGORY]] = None
        if len(found) >= MAX_CATEGORIES_PER_EVENT:
            break
    return tuple(found)


def _revenue(properties: Mapping[str, Any]) -> tuple[Observation, ...]:
    currency = currency_of(properties)
    for field in ("revenue", "total", "value"):
        amount = minor_units(properties.get(field), currency)
        if amount is not None:
            return ((f"revenue.{currency}", amount),)
    return ()


def _purchase(event: Event) -> tuple[Observation, ...]:
    by_category = [(f"purchases@{category}", 1) for category in categories_of(event.properties)]
    return (("purchases", 1), *_revenue(event.properties), *by_category)


def _view(event: Event) -> tuple[Observation, ...]:
    return (("product_views", 1), *[(f"views@{category}", 1) for category in categories_of(event.properties)])


def _contact(event: Event) -> tuple[Observation, ...]:
    return ("contacts", 1), (f"contacts.{channel_of(event)}", 1)


def _once(name: str) -> Callable[[Event], tuple[Observation, ...]]:
    observed = ((name, 1),)

    def observe_once(_event: Event) -> tuple[Observation, ...]:
        return observed

    return observe_once


_SESSION = _once("sessions")
_BY_NAME: dict[str, Callable[[Event], tuple[Observation, ...]]] = {
    "Order Completed": _purchase,
    "Product Viewed": _view,
    "Session Started": _SESSION,
    "Complaint Filed": _once("complaints"),
    **dict.fromkeys(CONTACT_EVENTS, _contact),
}
_BY_KIND = {"page": _once("page_views"), "screen": _once("page_views")}
RESPONSES = frozenset({"presented", "accepted", "declined", "clicked", "completed", "skipped", "complaint"})
_SILENT = frozenset({"decision", "link", "unlink", "unsure", "erase", "exposure"})


def _response(event: Event) -> tuple[Observation, ...]:
    outcome, category = event.name, event.properties.get("category")
    if outcome not in RESPONSES:
        return ()
    by_category = ((f"{outcome}@{category[:LONGEST_CATEGORY]}", 1),) if isinstance(category, str) and category else ()
    return ((f"responses.{outcome}", 1), *by_category)


def observe(event: Event) -> tuple[Observation, ...]:
    """What one event adds: pairs of signal name and integer amount, each name once. `name@category` is a pair signal.

    A session is counted where a marker says that it starts, once, however many markers the event carries.
    """
    if event.kind == "outcome":
        return _response(event)
    if event.kind in _SILENT:
        return ()
    observer = _BY_NAME.get(event.name) if event.kind == "track" else _BY_KIND.get(event.kind)
    observed = (("events", 1), *(() if observer is None else observer(event)))
    if event.context.get("sessionStart") is True and observer is not _SESSION:
        return (*observed, ("sessions", 1))
    return observed
