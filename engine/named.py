"""Whom an event that was refused names, as far as that can be read: an erasure must reach it, though no event was ever
made of it. Never refuses anything; knows nothing of where such an event is kept."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.errors import EngineError
from engine.identifiers import IdentityRules, identify

_FIELDS = (
    ("userId", "user_id"),
    ("anonymousId", "anonymous_id"),
    ("previousId", "anonymous_id"),
    ("previousId", "user_id"),
)
_DEVICE = (("id", "device_id"), ("token", "push_token"))
_REACHED = ("email", "phone")


def named_in(raw: Any, secret: bytes, rules: IdentityRules) -> frozenset[str]:
    """The ids of everybody whom a client's raw event (Segment or RudderStack shape) names in a place we know."""
    found = set()
    for kind, value in _values(raw):
        try:
            identifier = identify(secret, rules, kind, str(value))
        except EngineError:
            continue
        if identifier is not None:
            found.add(identifier.id)
    return frozenset(found)


def _values(raw: Any) -> Iterator[tuple[str, str | int]]:
    event = _object(raw)
    context = _object(event.get("context"))
    device = _object(context.get("device"))
    yield from _texts((kind, event.get(name)) for name, kind in _FIELDS)
    yield from _texts((kind, device.get(name)) for name, kind in _DEVICE)
    for traits in (_object(event.get("traits")), _object(context.get("traits"))):
        yield from _texts((name, traits.get(name)) for name in _REACHED)
    for one in map(_object, (*_list(context.get("externalIds")), *_list(event.get("mergeProperties")))):
        kind = one.get("type")
        if isinstance(kind, str):
            yield from _texts([(kind, one.get("id")), (kind, one.get("value"))])


def _texts(pairs: Iterator[tuple[str, Any]] | Sequence[tuple[str, Any]]) -> Iterator[tuple[str, str | int]]:
    return ((kind, value) for kind, value in pairs if isinstance(value, str | int) and not isinstance(value, bool))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
