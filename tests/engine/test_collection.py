"""The collection verdict: only an explicit refusal touches what is kept, and a refusal itself is never lost."""

from typing import Any

import msgspec
import pytest

from engine.collection import Collected, Source, collected
from engine.consent import DENIED, GRANTED, Held, Statement
from engine.events import CONSENT_CHANGED, Event
from engine.identifiers import Identifier, identifier_id
from tests.strategies import folded

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


def held(*said: tuple[str, int], under: str = HOME, covers: tuple[str, ...] = (HOME,)) -> dict[str, Held]:
    statements = tuple(Statement(status, at, "test", True, covers if status == GRANTED else ()) for status, at in said)
    return {under: Held({"analytics": statements})}


def verdict(event: Event, said: dict[str, Held], source: Source = DROP) -> Collected:
    """`said` is what the person of the event's home holds."""
    return collected([event], {HOME: said}, source, SECRET)


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


def test_whoever_the_event_names_may_have_refused() -> None:
    """A cookie that refused is not taken into a new account by the event that first names both."""
    refusing = held((DENIED, 500), under=MAIL.id)
    assert collected([EVENT], {HOME: {}, MAIL.id: refusing}, DROP, SECRET).dropped == 1
    assert collected([EVENT], {HOME: {}, "somebody else": refusing}, DROP, SECRET).events == [EVENT]


def test_a_yes_of_the_person_reaches_the_identifiers_it_covers() -> None:
    """A yes is written under the strongest identifier only; the cookie that refused before is covered by it."""
    refused = held((DENIED, 500), under=MAIL.id)
    agreed = held((GRANTED, 600), covers=(HOME, MAIL.id))
    assert verdict(EVENT, {**refused, **agreed}).events == [EVENT]
    assert verdict(EVENT, {**refused, **held((GRANTED, 600))}).dropped == 1
    assert verdict(EVENT, {**refused, **held((GRANTED, 400), covers=(HOME, MAIL.id))}).dropped == 1


def test_a_change_of_consent_always_passes() -> None:
    change = msgspec.structs.replace(EVENT, kind="track", name=CONSENT_CHANGED, consent={"analytics": True})
    explicit = msgspec.structs.replace(change, explicit=True)
    assert verdict(explicit, held((DENIED, 500))).events == [explicit]
    assert verdict(change, held((DENIED, 500))).events == []


def test_a_refusal_survives_the_event_that_brought_it() -> None:
    refusing = msgspec.structs.replace(EVENT, consent={"analytics": False, "marketing": False, "service": True})
    left, other = verdict(refusing, held((DENIED, 500))).events
    assert other.consent == {"analytics": False, "marketing": False}
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


def test_what_the_browser_refuses_is_refused_and_stays_said() -> None:
    under_gpc = msgspec.structs.replace(EVENT, browser=("analytics", "advertising"))
    left, other = verdict(under_gpc, {}).events
    assert other.browser == left.browser
    assert (left.browser, left.consent, left.name) == (("analytics", "advertising"), {}, CONSENT_CHANGED)
    assert left.properties == {}
    assert verdict(under_gpc, held((DENIED, 5))).events[0].browser == ("advertising",)


def test_a_refusal_is_kept_for_whoever_was_not_known_to_refuse() -> None:
    """The event is dropped, so it links nobody: each identifier keeps the refusal for itself."""
    refusing = msgspec.structs.replace(EVENT, consent={"analytics": False}, browser=("advertising",))
    known = {HOME: {}, MAIL.id: held((DENIED, 5), under=MAIL.id)}
    home, mail = collected([refusing], known, DROP, SECRET).events
    assert (home.home, home.identifiers, home.consent, home.browser) == (
        HOME,
        (ANN,),
        {"analytics": False},
        ("advertising",),
    )
    assert (mail.home, mail.identifiers, mail.consent, mail.browser) == (MAIL.id, (MAIL,), {}, ("advertising",))
    assert len({refusing.key, home.key, mail.key}) == 3


def said_in(kind: str = "page", **more: Any) -> Event:
    return msgspec.structs.replace(EVENT, message_id=f"{kind}-{more}", kind=kind, identifiers=(ANN,), **more)


def changed(yes: bool, at: int) -> Event:
    """The explicit change of consent."""
    return said_in("track", name=CONSENT_CHANGED, explicit=True, consent={"analytics": yes}, at=at)


@pytest.mark.parametrize(("yes", "names"), [(False, ["before"]), (True, ["before", "after"])])
def test_a_batch_is_judged_in_its_order(yes: bool, names: list[str]) -> None:
    batch = [said_in(name="before"), changed(yes, 600), said_in(name="after")]
    kept = collected(batch, {HOME: held((GRANTED, 500))}, DROP, SECRET).events
    assert [event.name for event in kept if event.kind == "page"] == names


def test_a_yes_opens_what_follows_it_in_the_batch() -> None:
    refused, newer = held((DENIED, 500)), held((DENIED, 700))
    batch = [said_in(name="before"), changed(True, 600), said_in(name="after")]
    assert [e.name for e in collected(batch, {HOME: refused}, DROP, SECRET).events] == [CONSENT_CHANGED, "after"]
    assert [e.name for e in collected(batch, {HOME: newer}, DROP, SECRET).events] == [CONSENT_CHANGED]


def test_a_yes_in_passing_opens_nothing_behind_it() -> None:
    batch = [said_in(name="before", consent={"analytics": True}, at=600), said_in(name="after")]
    assert collected(batch, {HOME: held((DENIED, 500))}, DROP, SECRET) == Collected([], dropped=2)


def test_a_refusal_in_a_batch_reaches_everybody_it_names_and_is_said_once() -> None:
    refusing = msgspec.structs.replace(EVENT, consent={"analytics": False})
    mail = msgspec.structs.replace(EVENT, message_id="m-2", home=MAIL.id, identifiers=(MAIL,))
    found = collected([refusing, mail, refusing], {}, DROP, SECRET)
    assert [event.home for event in found.events] == [HOME, MAIL.id]
    assert found.dropped == 3


def test_a_refusal_after_a_yes_of_the_same_batch_is_news() -> None:
    refusing = said_in(consent={"analytics": False}, at=700)
    told = collected([changed(True, 600), refusing], {HOME: held((DENIED, 500))}, DROP, SECRET).events
    assert [event.consent for event in told] == [{"analytics": True}, {"analytics": False}]


@pytest.mark.parametrize("kind", ["page", "screen", "group"])
def test_a_name_that_is_chosen_freely_is_not_left_behind(kind: str) -> None:
    (kept,) = verdict(said_in(kind, name="Account of Ann"), held((DENIED, 500)), PSEUDONYMISE).events
    assert (kept.name, kept.kind) == ("", kind)
    assert folded([kept]).state.accounts == {}
