"""The collection verdict: only an explicit refusal touches what is kept, and a refusal itself is never lost."""

import msgspec
import pytest

from engine.collection import Collected, Source, collected
from engine.consent import DENIED, GRANTED, Held, Statement
from engine.events import CONSENT_CHANGED, Event
from engine.identifiers import Identifier, identifier_id

SECRET = b"secret"
HOME = identifier_id(SECRET, "user_id", "u-1")
ANN = Identifier("user_id", "u-1", HOME)
MAIL = Identifier("email", "ann@example.org", identifier_id(SECRET, "email", "ann@example.org"))
EVENT = Event(
    message_id="m-1",
    source="shop",
    kind="identify",
    name="",
    at=1000,
    received=1000,
    home=HOME,
    identifiers=(ANN, MAIL),
    traits={"email": "ann@example.org"},
    properties={"search": "shoes"},
    context={"locale": "de", "groupId": "acme", "campaign": {"name": "x"}},
)
DROP = Source(on_refusal="drop", collection_purpose="analytics")
PSEUDONYMISE = Source(on_refusal="pseudonymise", collection_purpose="analytics")


def held(*said: tuple[str, int], explicit: bool = True) -> dict[str, Held]:
    statements = tuple(Statement(status, at, "test", explicit) for status, at in said)
    return {HOME: Held({"analytics": statements})}


def verdict(event: Event, said: dict[str, Held], source: Source = DROP) -> Collected:
    return collected([event], said, source, SECRET)


@pytest.mark.parametrize("status", ["denied", "withdrawn", "objected"])
def test_an_explicit_refusal_drops(status: str) -> None:
    assert verdict(EVENT, held((status, 500))) == Collected([], dropped=1)


@pytest.mark.parametrize("status", ["granted", "not_asked", "expired", "pending"])
def test_anything_else_keeps(status: str) -> None:
    assert verdict(EVENT, held((status, 500))).events == [EVENT]


def test_who_never_said_anything_is_kept() -> None:
    assert verdict(EVENT, {}).events == [EVENT]
    assert verdict(EVENT, {HOME: Held({"marketing": (Statement(DENIED, 1, "test"),)})}).events == [EVENT]


@pytest.mark.parametrize("source", [Source(), Source(collection_purpose="analytics"), Source(on_refusal="drop")])
def test_a_source_that_does_not_ask_keeps_everything(source: Source) -> None:
    assert verdict(EVENT, held((DENIED, 500)), source).events == [EVENT]


@pytest.mark.parametrize(("said", "kept"), [((DENIED, 9), 0), ((GRANTED, 9), 1)])
def test_the_latest_word_counts(said: tuple[str, int], kept: int) -> None:
    other = (GRANTED if said[0] == DENIED else DENIED, 8)
    assert len(verdict(EVENT, held(said, other)).events) == kept


def test_a_tie_is_a_no() -> None:
    assert verdict(EVENT, held((DENIED, 9), (GRANTED, 9))).dropped == 1


def test_a_change_of_consent_always_passes() -> None:
    change = msgspec.structs.replace(EVENT, kind="track", name=CONSENT_CHANGED, consent={"analytics": True})
    explicit = msgspec.structs.replace(change, explicit=True)
    assert verdict(explicit, held((DENIED, 500))).events == [explicit]
    assert verdict(change, held((DENIED, 500))).events == []


def test_a_refusal_survives_the_event_that_brought_it() -> None:
    refusing = msgspec.structs.replace(EVENT, consent={"analytics": False, "marketing": False, "service": True})
    (left,) = verdict(refusing, held((DENIED, 500))).events
    assert left.consent == {"marketing": False}
    assert (left.home, left.identifiers, left.explicit) == (HOME, (ANN,), False)
    assert (left.traits, left.properties, left.context) == ({}, {}, {})
    assert left.key != refusing.key


def test_a_pseudonym_carries_nothing_of_the_person() -> None:
    found = verdict(EVENT, held((DENIED, 500)), PSEUDONYMISE)
    (kept,) = found.events
    assert (found.dropped, found.pseudonymised) == (0, 1)
    assert kept.home == identifier_id(SECRET, "pseudonym", HOME)
    text = msgspec.json.encode(kept)
    assert all(name not in text for name in (b"u-1", b"ann@", b"shoes", b"acme", HOME.encode()))
    assert kept.context == {"locale": "de"}
    assert kept.home == verdict(EVENT, held((DENIED, 900)), PSEUDONYMISE).events[0].home
