"""What an event is once it is ours: normalised, its time clamped to receipt, its home known. Knows nothing of profiles,
consent answers or transport; a raw event comes in as plain JSON values and leaves as an `Event` or is `Rejected`."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from engine.carried import Forms, carried_consent
from engine.errors import Rejected
from engine.identifiers import Identifier, IdentityRules, identify

Raw = Mapping[str, Any]
CLIENT_KINDS = frozenset({"identify", "track", "page", "screen", "group", "alias", "merge"})
OWN_SOURCE = "rapport"
CONSENT_CHANGED = "Segment Consent Preference Updated"
LONGEST_MESSAGE_ID = 255
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_CONTEXT_KEPT = ("channel", "locale", "timezone", "sessionId", "sessionStart", "campaign", "groupId")


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One accepted event. Times are epoch milliseconds; `at` is never later than `received`.

    `home` is the id of its strongest identifier and decides its partition. `consent` maps purpose to the answer the
    event carried; `explicit` says whether that answer may also widen. `browser` names the purposes that the browser
    itself refused for the request.
    """

    message_id: str
    source: str
    kind: str
    name: str
    at: int
    received: int
    home: str
    identifiers: tuple[Identifier, ...]
    traits: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}
    consent: dict[str, bool] | None = None
    explicit: bool = False
    browser: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids that the event names, its home first."""
        return tuple(dict.fromkeys((self.home, *(i.id for i in self.identifiers))))

    @property
    def key(self) -> bytes:
        """Eight bytes that stand for (source, message id)."""
        return hashlib.blake2b(f"{self.source}\0{self.message_id}".encode(), digest_size=8).digest()


class Arrival(msgspec.Struct, frozen=True):
    """What the door knows about an event that the event itself does not say."""

    secret: bytes
    source: str
    received: int
    sent_at: int | None = None
    alias_type: str = "anonymous_id"
    consent: Forms = Forms()


def parse_time(value: Any) -> int | None:
    """ISO 8601 text to epoch milliseconds; None for null. Raises `Rejected` for anything else."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
        except (ValueError, OverflowError):
            pass
    raise Rejected("invalid_timestamp", "the timestamp is not ISO 8601; send for example 2026-01-31T12:00:00Z")


def corrected_time(original: int | None, sent_at: int | None, received: int) -> int:
    """Undo the client's clock skew (`received - (sentAt - original)`), never later than receipt."""
    if original is None:
        return received
    corrected = original if sent_at is None else received - (sent_at - original)
    return min(max(corrected, 0), received)


def _text(raw: Raw, name: str) -> str | None:
    value = raw.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Rejected("invalid_field", f"{name} must be text")


def _object(raw: Raw, name: str) -> dict[str, Any]:
    value = raw.get(name)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise Rejected("invalid_field", f"{name} must be a JSON object")


def _external(context: Raw) -> Iterator[tuple[str, str]]:
    entries = context.get("externalIds")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("collection", "users") == "users":
            kind, value = _text(entry, "type"), _text(entry, "id")
            if kind and value:
                yield kind, value


def _merged(raw: Raw) -> Iterator[tuple[str, str]]:
    pairs = raw.get("mergeProperties")
    if not isinstance(pairs, list) or len(pairs) < 2:
        raise Rejected("invalid_merge", "merge needs mergeProperties: a list of two {type, value} objects")
    for pair in pairs:
        kind, value = (_text(pair, "type"), _text(pair, "value")) if isinstance(pair, dict) else (None, None)
        if not kind or not value:
            raise Rejected("invalid_merge", "each of mergeProperties needs a type and a value")
        yield kind, value


def _reached(raw: Raw, kind: str, context: Raw) -> Iterator[tuple[str, str]]:
    """The person's own e-mail and phone. The traits of a group are the account's: its address is nobody's own."""
    traits = {} if kind == "group" else _object(raw, "traits")
    behind = _object(context, "traits")
    for name in ("email", "phone"):
        value = traits.get(name) or behind.get(name)
        if value and isinstance(value, str):
            yield name, value


def _claimed(raw: Raw, kind: str, context: Raw, alias_type: str) -> Iterator[tuple[str, str]]:
    named = {"user_id": _text(raw, "userId"), "anonymous_id": _text(raw, "anonymousId")}
    device = context.get("device")
    if isinstance(device, dict):
        named["device_id"] = _text(device, "id")
        named["push_token"] = _text(device, "token")
    if kind == "alias":
        previous = _text(raw, "previousId")
        if not previous or not named["user_id"]:
            raise Rejected("invalid_alias", "alias needs previousId and userId")
        yield alias_type, previous
    if kind == "merge":
        yield from _merged(raw)
    yield from ((name, value) for name, value in named.items() if value)
    yield from _reached(raw, kind, context)
    yield from _external(context)


def _identifiers(claims: Iterator[tuple[str, str]], arrival: Arrival, rules: IdentityRules) -> tuple[Identifier, ...]:
    found: dict[str, Identifier] = {}
    for kind, value in claims:
        try:
            identifier = identify(arrival.secret, rules, kind, value)
        except Rejected:
            # a malformed e-mail among the traits must not cost the event: it stays a trait and identifies nobody
            if kind in ("email", "phone"):
                continue
            raise
        if identifier is not None:
            found.setdefault(identifier.id, identifier)
    if not found:
        raise Rejected("missing_identity", "the event names nobody; send userId or anonymousId")
    return tuple(sorted(found.values(), key=lambda i: (rules.rank(i.type), i.type, i.value)))


def _track_name(raw: Raw) -> str:
    name = _text(raw, "event")
    if not name:
        raise Rejected("missing_event", "track needs a non-empty event name")
    return name


def _group_name(raw: Raw) -> str:
    name = _text(raw, "groupId")
    if not name:
        raise Rejected("missing_group", "group needs a groupId")
    return name


def _unnamed(_raw: Raw) -> str:
    return ""


_NAMES: dict[str, Callable[[Raw], str]] = {
    "track": _track_name,
    "group": _group_name,
    "page": lambda raw: _text(raw, "name") or "",
    "screen": lambda raw: _text(raw, "name") or "",
}


def _message_id(raw: Raw, fallback: str) -> str:
    named = _text(raw, "messageId") or fallback
    if len(named) > LONGEST_MESSAGE_ID:
        raise Rejected("invalid_field", f"messageId must be at most {LONGEST_MESSAGE_ID} characters")
    return named


def _described(raw: Raw, kind: str, context: Raw) -> dict[str, Any]:
    """The traits of whom the event describes; the person's are in `context.traits` where an SDK puts them there."""
    if kind == "identify":
        return _object(raw, "traits") or _object(context, "traits")
    return _object(raw, "traits") if kind == "group" else {}


def normalise(raw: Raw, arrival: Arrival, rules: IdentityRules, fallback_id: str) -> Event:
    """A client's event (Segment or RudderStack shape) as an `Event`; `fallback_id` stands in for a missing messageId.

    Raises `Rejected` with a code and a sentence; never echoes the input.
    """
    kind = _text(raw, "type")
    if kind not in CLIENT_KINDS:
        raise Rejected("unknown_type", f"type must be one of {', '.join(sorted(CLIENT_KINDS))}")
    context = _object(raw, "context")
    original = parse_time(raw.get("originalTimestamp") if raw.get("timestamp") is None else raw["timestamp"])
    sent_at = arrival.sent_at if raw.get("sentAt") is None else parse_time(raw["sentAt"])
    name = _NAMES.get(kind, _unnamed)(raw)
    identifiers = _identifiers(_claimed(raw, kind, context, arrival.alias_type), arrival, rules)
    if kind in ("alias", "merge") and len(identifiers) < 2:
        raise Rejected(f"invalid_{kind}", f"{kind} needs two different identifiers that each name somebody")
    consent = carried_consent(context, arrival.consent)
    return Event(
        message_id=_message_id(raw, fallback_id),
        source=arrival.source,
        kind=kind,
        name=name,
        at=corrected_time(original, sent_at, arrival.received),
        received=arrival.received,
        home=identifiers[0].id,
        identifiers=identifiers,
        traits=_described(raw, kind, context),
        properties=_object(raw, "properties"),
        context={key: context[key] for key in _CONTEXT_KEPT if context.get(key) is not None},
        consent=consent,
        explicit=consent is not None and kind == "track" and name == CONSENT_CHANGED,
    )
