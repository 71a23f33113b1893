"""Double opt-in: somebody was asked by letter to confirm, and a link says yes once. Knows the states and when a link
still counts; nothing of how links are made, sent or kept."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from engine.consent import CONTRACT, EVERY_TOPIC, GRANTED, REFUSALS, Consent, Held, Statement
from engine.ports import ConsentChange, Proof
from engine.statement import Subject, later

PENDING, CONFIRMED, EXPIRED, WITHDRAWN = "pending", "confirmed", "expired", "withdrawn"


class OptIn(msgspec.Struct, frozen=True):
    """What one link confirms, and for whom. Times in ms; `settled_at` is when it left the state pending."""

    identity: str
    purposes: tuple[str, ...]
    preferences: dict[str, tuple[str, ...]]
    source: str
    text_version: str
    requested_at: int
    expires_at: int
    state: str = PENDING
    settled_at: int | None = None

    @property
    def wanted(self) -> dict[str, dict[str, bool]]:
        """The preferences that a confirmation writes."""
        return {channel: dict.fromkeys(topics, True) for channel, topics in self.preferences.items()}


class OptIns(Protocol):
    """Keeps opt-ins under the hash of their link's token."""

    async def add(self, token: str, opt_in: OptIn) -> None: ...

    async def find(self, token: str) -> OptIn | None: ...

    async def settle(self, token: str, state: str, at: int) -> bool:
        """Leave the state pending; False where it was left before."""
        ...


def token_hash(token: str) -> str:
    """Tokens are long and random, so a plain hash cannot be led back and can be looked up."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def refused_since(opt_in: OptIn, held: Mapping[str, Held], rows: Sequence[Proof]) -> bool:
    """Whether the person said no to any of it after the link was asked for: then the link is worth nothing. `rows` is
    what the ledger has of them: what is held of a channel carries no time."""
    said = [s for one in held.values() for p in opt_in.purposes for s in one.statements.get(p, ())]
    if any(s.status in REFUSALS and s.at > opt_in.requested_at for s in said):
        return True
    later = (row.change.preferences for row in rows if row.change is not None and row.at > opt_in.requested_at)
    return any(_refused(opt_in, preferences) for preferences in later)


def off(opt_in: OptIn, held: Mapping[str, Held]) -> frozenset[tuple[str, str]]:
    """Of what the link opens, or reaches, the channels and topics that are refused: (channel, topic)."""
    return frozenset().union(*(_refused(opt_in, one.preferences) for one in held.values()))


def _refused(opt_in: OptIn, preferences: Mapping[str, Mapping[str, bool]]) -> set[tuple[str, str]]:
    wanted = ((channel, topic) for channel, topics in opt_in.preferences.items() for topic in (*topics, EVERY_TOPIC))
    return {(channel, topic) for channel, topic in wanted if preferences.get(channel, {}).get(topic) is False}


def state_at(opt_in: OptIn, held: Mapping[str, Held], rows: Sequence[Proof], at: int) -> str:
    """What a link is worth now."""
    if opt_in.state != PENDING:
        return opt_in.state
    if at >= opt_in.expires_at:
        return EXPIRED
    return WITHDRAWN if refused_since(opt_in, held, rows) else PENDING


def awaiting(subject: Subject, opt_in: OptIn) -> dict[str, ConsentChange]:
    """What to write while the answer is awaited: pending counts as no. A refusal stays what it is, and what is agreed
    or rests on the contract needs no asking."""
    written: dict[str, dict[str, Statement]] = {}
    for purpose in opt_in.purposes:
        if _is_open(subject.consent, purpose):
            at = later(subject.held, purpose, opt_in.requested_at)
            pending = Statement(PENDING, at, opt_in.source, True, (), opt_in.text_version)
            for member in subject.members:
                written.setdefault(member, {})[purpose] = pending
    return {member: ConsentChange(statements) for member, statements in written.items()}


def _is_open(consent: Consent, purpose: str) -> bool:
    answer = consent.answers[purpose]
    return answer.basis != CONTRACT and answer.status not in REFUSALS and answer.status not in (GRANTED, PENDING)
