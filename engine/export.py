"""What an export says of one event, with names where storage has positions. Knows nothing of stores or formats."""

import contextlib
from typing import Any

import msgspec

from engine.events import Event
from engine.identity import Claim
from engine.records import Unreadable, decode_decision

_APART = {"decision": "decision", "outcome": "outcome"}


def named(value: msgspec.Struct) -> dict[str, Any]:
    """A struct's fields by name, one level deep."""
    return {field: getattr(value, field) for field in value.__struct_fields__}


def event_line(event: Event) -> tuple[str, dict[str, Any]]:
    """(kind of line, value). A decision is shown as its record, everything else as it was accepted."""
    plain = named(event) | {"identifiers": [named(identifier) for identifier in event.identifiers]}
    record = event.properties.get("record")
    if event.kind == "decision" and isinstance(record, bytes):
        with contextlib.suppress(Unreadable):
            plain["properties"] = {"record": msgspec.to_builtins(decode_decision(record))}
    return _APART.get(event.kind, "event"), plain


def claim_line(claim: Claim) -> tuple[str, dict[str, Any]]:
    return "link", named(claim)
