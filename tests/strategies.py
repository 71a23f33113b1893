"""What hypothesis draws from: realistic events with few ids, times and sources, so that ties, late arrivals and
meetings are the rule and not the exception."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from engine.events import Event
from engine.identifiers import Identifier, identifier_id
from engine.profile import Fragment, fold
from engine.signals import DAY

SECRET = b"a secret of this test suite only"
START = 1_700_000_000_000
SOURCES = ("web", "crm", "app")
ACTIONS = ("call_back", "upgrade")


def identifier(kind: str, value: str) -> Identifier:
    return Identifier(kind, value, identifier_id(SECRET, kind, value))


ANN = identifier("user_id", "ann")
EMAIL = identifier("email", "ann@example.org")
OTHERS = (EMAIL, identifier("phone", "+4930123456"), *(identifier("anonymous_id", f"a{n}") for n in range(3)))
HOMES = (ANN, *OTHERS[:3])

# equal, close, days apart, beyond the 24 h of the seen window and beyond the 30 days of the contact log
_OFFSETS = (0, 0, 1, 1, 999, 60_000, DAY, DAY + 1, 3 * DAY, 29 * DAY, 30 * DAY, 45 * DAY)
TIMES = tuple(START + offset for offset in _OFFSETS)
words = st.sampled_from(["gold", "silver", "", "01234", "Zürich"])
values = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.0, 1.0, 2.5]), words, st.lists(words, max_size=2)
)
traits = st.dictionaries(st.sampled_from(["plan", "country", "email", "tenure_months"]), values, max_size=3)
channels = st.sampled_from(["call", "Email", "chat", "web", "pigeon", None])
categories = st.sampled_from(["shoes", "hats", "", None, 7])
amounts = st.sampled_from([0, 7, -5, 19.99, "12.345", "", "much", "NaN", "1e999999999", 1e300, True, None, 10**14])
products = st.lists(st.fixed_dictionaries({"category": categories}), max_size=3)


def _named(kind: str, *names: str, **properties: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"kind": st.just(kind), "name": st.sampled_from(names), "properties": st.fixed_dictionaries(properties)}
    )


def _outcome(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return _named(
        "outcome",
        *names,
        action_id=st.sampled_from(ACTIONS),
        category=st.sampled_from(["shoes", "hats"]),
        channel=st.sampled_from(["voice", "email"]),
        group=st.sampled_from(["", "offers"]),
        segment=st.sampled_from(["all", "gold"]),
        contact=st.sampled_from([True, False, None]),
        value=st.sampled_from([1, 2.0]),
    )


_contents = st.one_of(
    st.fixed_dictionaries({"kind": st.just("identify"), "name": st.just(""), "traits": traits}),
    st.fixed_dictionaries({"kind": st.just("group"), "name": st.sampled_from(["g1", "g2"]), "traits": traits}),
    _named("page", "", "Home"),
    _named("screen", "Start"),
    _named("track", "Product Viewed", category=categories, products=products),
    _named(
        "track",
        "Order Completed",
        revenue=amounts,
        currency=st.sampled_from([None, "EUR", "jpy", "Euro"]),
        products=products,
    ),
    _named("track", "Session Started", "Complaint Filed", "Some Other Event"),
    _named("track", "Support Contact", "Call Started", channel=channels, topic=words),
    _named(
        "track",
        *("Issue Opened", "Issue Resolved", "Ticket Created", "Ticket Resolved"),
        issueId=st.sampled_from(["i1", "i2", 3, None]),
        topic=words,
        channel=channels,
    ),
    _outcome("declined"),
    _outcome("presented", "accepted"),
    _outcome("offered", "completed", "clicked", "complaint", "skipped", "churned"),
    _named("decision", "agent_desktop"),
    _named("link", "", reason=st.sampled_from(["same person", "observed", ""])),
    _named("unlink", "", reason=st.just("a mistake")),
)


_BESIDE = ((), *((other,) for other in OTHERS), *itertools.permutations(OTHERS, 2))
_ID_POOL = tuple((source, f"m{number}") for number in range(31) for source in SOURCES)
_DELAYS = (0, 0, 1500, 2 * DAY)
_CONTEXTS: tuple[dict[str, Any], ...] = ({}, {}, {"sessionStart": True}, {"groupId": "g1"}, {"groupId": "g3"})


def _chosen(number: int, pools: Sequence[Sequence[Any]]) -> Iterator[Any]:
    """One element of each pool. Drawing one number for all of them is several times faster than drawing each."""
    for pool in pools:
        number, index = divmod(number, len(pool))
        yield pool[index]


def _event(homes: Sequence[Identifier]) -> st.SearchStrategy[Event]:
    pools = (_ID_POOL, TIMES, _BESIDE, _CONTEXTS, _DELAYS, homes)

    def made(content: dict[str, Any], number: int) -> Event:
        (source, message_id), at, beside, context, delay, home = _chosen(number, pools)
        bare = content["kind"] in ("decision", "outcome")
        return Event(
            message_id=message_id,
            source=source,
            at=at,
            received=at + delay,
            home=home.id,
            identifiers=() if bare else (home, *(other for other in beside if other.id != home.id)),
            context=context,
            **content,
        )

    return st.builds(made, _contents, st.integers(0, math.prod(len(pool) for pool in pools) - 1))


def events(
    homes: Sequence[Identifier] = (ANN,), max_size: int = 30, min_size: int = 0
) -> st.SearchStrategy[list[Event]]:
    """Distinct events: no two share source and message id, though message ids and times repeat between sources."""
    return st.lists(_event(homes), min_size=min_size, max_size=max_size, unique_by=lambda e: (e.source, e.message_id))


def folded(happened: Sequence[Event], home: str = ANN.id) -> Fragment:
    fragment = Fragment(home)
    for event in happened:
        fragment = fold(fragment, event)
    return fragment
