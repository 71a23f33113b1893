"""A person's export as lines: the whole profile with names where storage has positions. Nothing is masked here: it is
the person's own copy, so only who may hand that out calls it."""

from collections.abc import Iterator
from typing import Any

import msgspec

from api.answers import iso
from engine.ports import PersonView
from engine.profile import Trait

_ENCODE = msgspec.json.Encoder().encode


def line(kind: str, value: Any) -> bytes:
    """One line of NDJSON; bytes inside become base64."""
    return _ENCODE({"kind": kind, "value": value}) + b"\n"


def _traits(traits: dict[str, Trait]) -> dict[str, Any]:
    return {name: {"value": t.value, "at": iso(t.at), "message_id": t.message_id} for name, t in traits.items()}


def _profile(view: PersonView) -> dict[str, Any]:
    profile = view.profile
    state = profile.state
    known = [{"id": i, "type": k.type, "value": k.value, "at": iso(k.at)} for i, k in state.identifiers.items()]
    signals = {name: {"last": iso(s.last), "total": s.total, "sums": s.sums} for name, s in state.signals.items()}
    issues = {n: {"at": iso(i.at), "open": i.open, "topic": i.topic} for n, i in state.issues.items()}
    contacts = [
        {"at": iso(c.at), "channel": c.channel, "action_id": c.action_id, "approach": c.approach}
        for c in state.contacts
    ]
    return {
        "profile_id": profile.profile_id,
        "members": profile.members,
        "identifiers": known,
        "traits": _traits(state.traits),
        "accounts": {name: _traits(traits) for name, traits in state.accounts.items()},
        "signals": signals,
        "latest": _traits(state.latest),
        "issues": issues,
        "contacts": contacts,
        "declines": {name: iso(at) for name, at in state.declines.items()},
        "events": state.count,
    }


def opening(view: PersonView) -> Iterator[tuple[str, Any]]:
    """What is derived and what was said: the profile, then consent under every identifier; each with its kind."""
    yield "profile", _profile(view)
    for identity, held in view.held.items():
        yield "consent", {"identifier": identity, **_consent(held)}


def _consent(held: Any) -> dict[str, Any]:
    said = {purpose: [_plain(s) for s in statements] for purpose, statements in held.statements.items()}
    return {"statements": said, "preferences": held.preferences, "settings": held.settings}


def _plain(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}
