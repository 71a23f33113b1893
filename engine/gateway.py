"""The gateway's pure part: many raw items in, accepted events and rejections out, each item on its own. Knows nothing
of HTTP, of topics or of what was agreed with the sender."""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.errors import Rejected
from engine.events import Arrival, Event, normalise
from engine.identifiers import IdentityRules

MAX_DEPTH = 16
_INT64 = 1 << 63
_SHOWN_ID = 256


class Rejection(msgspec.Struct, frozen=True):
    """Why one item of a batch was not accepted; `index` is its place in the batch."""

    index: int
    message_id: str
    code: str
    message: str


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether every integer inside an object or array fits 64 bits and nothing in it is nested deeper than 16: what
    records can carry."""
    if depth >= MAX_DEPTH:
        return False
    # a plain loop over exact types: this runs over every value of every event
    for inner in value.values() if type(value) is dict else value:
        kind = type(inner)
        if kind is dict or kind is list:
            if not is_plain(inner, depth + 1):
                return False
        elif kind is int and not -_INT64 <= inner < _INT64:
            return False
    return True


def _checked(item: Any) -> dict[str, Any]:
    if isinstance(item, Rejected):
        raise item
    if not isinstance(item, dict):
        raise Rejected("not_an_object", "an event is a JSON object")
    if not is_plain(item):
        raise Rejected("not_plain", f"nested deeper than {MAX_DEPTH} levels, or an integer beyond 64 bits")
    return item


def message_id_of(item: Any) -> str:
    """The item's own message id as far as it may be shown back to its sender."""
    named = item.get("messageId") if isinstance(item, dict) else None
    return named[:_SHOWN_ID] if isinstance(named, str) else ""


def accept(
    items: Sequence[Any], arrival: Arrival, rules: IdentityRules, ids: Sequence[str]
) -> tuple[list[Event], list[Rejection]]:
    """Normalise each item (plain JSON values, or the `Rejected` an earlier reader found). `ids[n]` stands in for a
    missing messageId of item n. One bad item costs none of its neighbours."""
    events, rejections = [], []
    for index, item in enumerate(items):
        try:
            events.append(normalise(_checked(item), arrival, rules, ids[index]))
        except Rejected as error:
            rejections.append(Rejection(index, message_id_of(item), error.code, error.message))
    return events, rejections
