"""What events count, the decay formula, and money in minor units."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import Event
from engine.signals import (
    DAY,
    HALF_LIVES,
    LARGEST_AMOUNT,
    Signal,
    add,
    categories_of,
    channel_of,
    currency_of,
    minor_units,
    observe,
    single,
    value_at,
)
from tests.strategies import ANN, START, events


def event(kind: str, name: str, /, **properties: Any) -> Event:
    return Event("m", "web", kind, name, START, START, ANN.id, (ANN,), {}, properties)


signals = st.builds(single, st.integers(-(10**6), 10**6), st.integers(START, START + 90 * DAY))


def test_a_sum_halves_in_a_half_life() -> None:
    signal = single(8, START)
    assert value_at(signal, "1d", START) == 8.0
    assert value_at(signal, "1d", START + DAY) == 4.0
    assert value_at(signal, "1d", START + 3 * DAY) == 1.0
    assert value_at(signal, "30d", START + 30 * DAY) == 4.0


def test_nothing_grows_backwards() -> None:
    assert value_at(single(8, START), "1d", START - DAY) == 8.0


def test_the_decay_of_centuries_is_zero_and_no_error() -> None:
    assert value_at(add(single(1, 0), single(0, START)), "1d", START) == 0.0


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(START, START + 90 * DAY)), min_size=1, max_size=20))
def test_the_sum_is_the_formula(observed: list[tuple[int, int]]) -> None:
    total = single(*observed[0])
    for amount, at in observed[1:]:
        total = add(total, single(amount, at))
    now = START + 91 * DAY
    weight = sum(abs(amount) for amount, _ in observed)
    assert (total.last, total.total) == (max(at for _, at in observed), sum(amount for amount, _ in observed))
    for name, half in HALF_LIVES.items():
        by_hand = math.fsum(amount * 2 ** (-(now - at) / half) for amount, at in observed)
        assert value_at(total, name, now) == pytest.approx(by_hand, rel=0, abs=1e-9 * weight)


@given(signals, signals)
def test_adding_commutes_to_the_last_bit(left: Signal, right: Signal) -> None:
    assert add(left, right) == add(right, left)


@given(events(max_size=8))
def test_an_event_names_each_signal_once(happened: list[Event]) -> None:
    for one in happened:
        names = [name for name, _ in observe(one)]
        assert len(names) == len(set(names))


MONEY: dict[str, tuple[Any, str, int | None]] = {
    "whole": (12, "USD", 1200),
    "cents": (19.99, "USD", 1999),
    "text": ("19.99", "EUR", 1999),
    "yen": (1200, "JPY", 1200),
    "yen, half to even": (1200.5, "JPY", 1200),
    "three places": (1.2345, "KWD", 1234),
    "half to even": ("0.125", "USD", 12),
    "a refund": (-5.5, "USD", -550),
    "nothing": (0, "USD", 0),
    "binary noise": (0.1 + 0.2, "USD", 30),
    "the largest": (LARGEST_AMOUNT // 100, "USD", LARGEST_AMOUNT),
    "too much": (1e300, "USD", None),
    "far too much": ("1e999999999", "USD", None),
    "absent": (None, "USD", None),
    "a yes": (True, "USD", None),
    "words": ("much", "USD", None),
    "no number": ("NaN", "USD", None),
    "no end": (math.inf, "USD", None),
    "a list": ([5], "USD", None),
}


@pytest.mark.parametrize(("amount", "currency", "expected"), MONEY.values(), ids=MONEY)
def test_money_is_minor_units(amount: Any, currency: str, expected: int | None) -> None:
    assert minor_units(amount, currency) == expected


@given(st.integers(-(10**10), 10**10))
def test_cents_survive_the_way_through_a_float(cents: int) -> None:
    assert minor_units(cents / 100) == cents


@pytest.mark.parametrize(
    ("named", "currency"),
    [(None, "USD"), ("", "USD"), ("eur", "EUR"), (" chf ", "CHF"), ("Euro", "XXX"), ("@€.", "XXX"), (5, "XXX")],
)
def test_a_currency_has_three_letters(named: Any, currency: str) -> None:
    assert currency_of({"currency": named}) == currency


def observed(kind: str, name: str, /, **properties: Any) -> dict[str, int]:
    return dict(observe(event(kind, name, **properties)))


def test_revenue_is_read_before_total_and_value() -> None:
    assert observed("track", "Order Completed", revenue=3, total=4, value=5)["revenue.USD"] == 300
    assert observed("track", "Order Completed", total="4", value=5)["revenue.USD"] == 400
    assert observed("track", "Order Completed", revenue="?", value=5, currency="jpy")["revenue.JPY"] == 5
    assert observed("track", "Order Completed") == {"events": 1, "purchases": 1}


def test_a_purchase_counts_each_category_once() -> None:
    products = [{"category": "hats"}, {"category": "shoes"}, {"category": "hats"}, {"category": 7}, "junk"]
    found = observed("track", "Order Completed", category="shoes", products=products)
    assert found == {"events": 1, "purchases": 1, "purchases@shoes": 1, "purchases@hats": 1}


def test_one_event_names_at_most_twenty_categories() -> None:
    products = [{"category": f"c{n}"} for n in range(50)]
    assert len(categories_of({"products": products})) == 20


@pytest.mark.parametrize(
    ("name", "named", "channel"),
    [
        ("Support Contact", "Phone", "voice"),
        ("Support Contact", "WhatsApp", "chat"),
        ("Support Contact", "email", "email"),
        ("Support Contact", "pigeon", "other"),
        ("Support Contact", None, "other"),
        ("Call Started", None, "voice"),
        ("Live Chat Conversation Started", None, "chat"),
    ],
)
def test_contacts_are_counted_by_channel(name: str, named: str | None, channel: str) -> None:
    assert channel_of(event("track", name, channel=named)) == channel
    assert observed("track", name, channel=named) == {"events": 1, "contacts": 1, f"contacts.{channel}": 1}


def test_a_session_is_counted_once_where_it_is_marked() -> None:
    def marked(name: str) -> dict[str, int]:
        return dict(observe(Event("m", "web", "track", name, 1, 1, ANN.id, (), {}, {}, {"sessionStart": True})))

    assert observed("track", "Session Started") == {"events": 1, "sessions": 1}
    assert marked("Session Started") == {"events": 1, "sessions": 1}
    assert marked("Other") == {"events": 1, "sessions": 1}


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_pages_are_counted_whatever_their_name(kind: str) -> None:
    assert observed(kind, "Order Completed") == {"events": 1, "page_views": 1}


def test_an_outcome_counts_by_category_and_is_no_event() -> None:
    assert observed("outcome", "accepted", category="hats") == {"responses.accepted": 1, "accepted@hats": 1}
    assert observed("outcome", "churned", category="hats") == {}


@pytest.mark.parametrize("kind", ["decision", "link", "unlink", "erase"])
def test_what_we_do_ourselves_is_no_behaviour(kind: str) -> None:
    assert observed(kind, "x") == {}
