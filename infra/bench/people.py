"""Made-up people and events for a bench: the same every time, plain and of usual size. Knows the shapes events have on
the wire and in the log."""

from collections.abc import Iterator
from typing import Any

import orjson

from engine.events import Event
from engine.identifiers import Identifier, IdentityRules, identify

SECRET = b"bench"
SOURCE = "write"
PAGES = ("Home", "Plans", "Billing", "Help", "Account")
PLANS = ("basic", "plus", "premium")


def identifier(rules: IdentityRules, number: int) -> Identifier:
    found = identify(SECRET, rules, "user_id", f"bench-{number}")
    if found is None:
        raise RuntimeError("the identity rules refuse a plain user id: the bench would measure nothing")
    return found


def event(who: Identifier, number: int, at: int) -> Event:
    """One tracked purchase or page view of a person, as the gateway would append it."""
    shared: dict[str, Any] = {
        "message_id": f"bench-{number:012d}",
        "source": SOURCE,
        "at": at,
        "received": at,
        "home": who.id,
        "identifiers": (who,),
        "context": {"page": {"path": f"/{number % 97}"}, "locale": "en-US"},
    }
    if number % 3:
        return Event(kind="page", name=PAGES[number % len(PAGES)], properties={"title": "bench"}, **shared)
    order = {"orderId": f"o-{number}", "revenue": 19.9, "currency": "USD", "category": f"c{number % 7}"}
    return Event(kind="track", name="Order Completed", properties=order, **shared)


def each_another(rules: IdentityRules, count: int, at: int) -> Iterator[Event]:
    """Every event on another profile."""
    return (event(identifier(rules, number), number, at) for number in range(count))


def ten_each(rules: IdentityRules, count: int, at: int) -> Iterator[Event]:
    """Ten events per profile, one after the other, so that a record holds each profile's ten."""
    for number in range(0, count, 10):
        who = identifier(rules, number)
        yield from (event(who, number + more, at + more) for more in range(10))


def message(kind: str, user: int, number: int, **more: Any) -> dict[str, Any]:
    """An event as a client's SDK sends it."""
    shown = {"context": {"page": {"path": f"/{number % 97}"}, "locale": "en-US", "library": {"name": "bench"}}}
    return {"type": kind, "userId": f"bench-{user}", "messageId": f"bench-{number:012d}", **shown, **more}


def batch(first: int, size: int, users: int) -> bytes:
    """A batch request of tracked purchases and page views over so many people."""
    items = []
    for number in range(first, first + size):
        if number % 3:
            items.append(message("page", number % users, number, name=PAGES[number % len(PAGES)]))
        else:
            order = {"orderId": f"o-{number}", "revenue": 19.9, "currency": "USD", "category": f"c{number % 7}"}
            items.append(message("track", number % users, number, event="Order Completed", properties=order))
    return orjson.dumps({"batch": items})


def introduction(user: int) -> dict[str, Any]:
    """The event that makes a person a customer of the catalogue: where they live decides what they agreed to."""
    traits = {
        "plan": PLANS[user % len(PLANS)],
        "country": "US",
        "tenure_months": 1 + user % 48,
        "monthly_bill": 20 + user % 60,
        "language": "en",
        "age": 20 + user % 60,
    }
    return message("identify", user, 10_000_000 + user, traits=traits)


def history(user: int, size: int = 12) -> list[dict[str, Any]]:
    """A person with something to remember: contacts, purchases and views."""
    made = [introduction(user)]
    for n in range(size):
        number = 20_000_000 + user * size + n
        if n % 4 == 0:
            made.append(message("track", user, number, event="Support Contact", properties={"channel": "voice"}))
        elif n % 4 == 1:
            order = {"orderId": f"o-{number}", "revenue": 35.5, "currency": "USD", "category": f"c{n % 5}"}
            made.append(message("track", user, number, event="Order Completed", properties=order))
        else:
            made.append(message("page", user, number, name=PAGES[n % len(PAGES)]))
    return made
