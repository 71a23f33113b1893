"""The gateway's pure part: one bad item costs none of its neighbours, and what it lets through a record can carry."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Rejected
from engine.events import Arrival, Event
from engine.gateway import MAX_DEPTH, Rejection, accept, is_plain
from engine.identifiers import IdentityRules

ARRIVAL = Arrival(secret=b"secret", source="shop", received=1_790_000_000_000)
RULES = IdentityRules()
GOOD = {"type": "track", "event": "Ping", "userId": "u-1"}
LEAVES = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4), max_leaves=20
)


def take(*items: Any) -> tuple[list[Event], list[Rejection]]:
    return accept(items, ARRIVAL, RULES, [f"made-{n}" for n in range(len(items))])


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_the_fallback_id_is_that_of_the_items_place() -> None:
    events, _ = take({**GOOD, "messageId": "m-0"}, GOOD)
    assert [event.message_id for event in events] == ["m-0", "made-1"]


def test_what_an_earlier_reader_found_is_passed_on_in_its_place() -> None:
    events, rejections = take(GOOD, Rejected("too_large", "too large"), GOOD)
    assert len(events) == 2
    assert rejections == [Rejection(1, "", "too_large", "too large")]


def test_a_rejection_names_the_message_but_never_all_of_a_long_one() -> None:
    _, rejections = take({"type": "track", "messageId": "m" * 1000})
    assert rejections[0].message_id == "m" * 256


@pytest.mark.parametrize(("depth", "accepted"), [(MAX_DEPTH - 2, 1), (MAX_DEPTH - 1, 0), (500, 0)])
def test_nesting_has_a_limit(depth: int, accepted: int) -> None:
    assert len(take({**GOOD, "properties": nested(depth)})[0]) == accepted


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1])
def test_an_integer_beyond_64_bits_is_rejected(number: int) -> None:
    assert take({**GOOD, "properties": {"list": [{"n": number}]}})[1][0].code == "not_plain"
    assert is_plain({"n": (1 << 63) - 1, "m": -(1 << 63), "b": True})


@given(properties=st.dictionaries(st.text(), JSON, max_size=4))
def test_what_is_accepted_survives_a_record(properties: dict[str, Any]) -> None:
    events, _ = take({**GOOD, "properties": properties})
    for event in events:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event) == event
