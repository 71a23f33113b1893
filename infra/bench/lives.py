"""Made-up lives for benches about people rather than load: ten events under three identifiers, two of them before the
person signed in, as browser SDKs send them. Folds them with the stream's own step."""

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.events import Event
from engine.identifiers import Identifier, IdentityRules, identify
from engine.identity import Claim
from engine.ports import Stored
from engine.profile import Fragment
from engine.records import Position
from engine.signals import DAY
from engine.step import Rules, advance
from infra.bench.people import PAGES, PLANS, SECRET, SOURCE

EVENTS_EACH = 10
BEGAN = 1_790_000_000_000


class Life(msgspec.Struct, frozen=True):
    """One person: the events in order, the fragments they leave and the links they claim."""

    events: tuple[Event, ...]
    stored: dict[str, Stored]
    claims: tuple[Claim, ...]


def named(rules: IdentityRules, kind: str, value: str) -> Identifier:
    found = identify(SECRET, rules, kind, value)
    if found is None:
        raise RuntimeError("the identity rules refuse a plain identifier: the bench would measure nothing")
    return found


def _drawn(about: str) -> str:
    """A UUID that looks drawn, since that is what does not compress; the same for the same words."""
    return str(uuid.UUID(bytes=hashlib.blake2b(about.encode(), digest_size=16).digest(), version=4))


def _events(rules: IdentityRules, number: int) -> Iterator[Event]:
    user = named(rules, "user_id", f"customer-{number:07d}")
    email = named(rules, "email", f"customer-{number:07d}@example.net")
    cookie = named(rules, "anonymous_id", _drawn(f"cookie {number}"))
    traits = {
        "email": email.value,
        "plan": PLANS[number % len(PLANS)],
        "country": "US",
        "tenure_months": number % 48,
        "monthly_bill": 20 + number % 60,
        "language": "en",
    }
    for n in range(EVENTS_EACH):
        who = (cookie,) if n < 2 else (user, email, cookie) if n == 2 else (user, cookie)
        yield _event(who, number * EVENTS_EACH + n, traits if n == 2 else {})


def _event(who: tuple[Identifier, ...], number: int, traits: dict[str, Any]) -> Event:
    at = BEGAN + number % EVENTS_EACH * DAY // 3
    shared: dict[str, Any] = {
        "message_id": _drawn(f"message {number}"),
        "source": SOURCE,
        "at": at,
        "received": at + 120,
        "home": who[0].id,
        "identifiers": who,
        "context": {"locale": "en-US", "timezone": "America/New_York"},
    }
    if traits:
        return Event(kind="identify", name="", traits=traits, **shared)
    if number % EVENTS_EACH in (5, 8):
        order = {"orderId": f"o-{number}", "revenue": 19.9, "currency": "USD", "category": f"c{number % 7}"}
        return Event(kind="track", name="Order Completed", properties=order, **shared)
    return Event(kind="page", name=PAGES[number % len(PAGES)], properties={"title": "bench"}, **shared)


def life(rules: Rules, number: int) -> Life:
    """The same for the same number, every time."""
    events, stored, claims = tuple(_events(rules.identity, number)), dict[str, Stored](), list[Claim]()
    for event in events:
        before = stored[event.home].fragment if event.home in stored else Fragment(event.home)
        step = advance(before, event, rules)
        stored[event.home] = Stored(Position(1, 0, number), event.received, step.fragment)
        claims += step.claims
    return Life(events, stored, tuple(claims))
