"""Feature values: by hand, masked per purpose, and the same in a row as from the function of their view."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog import Action
from engine.consent import Held, Purpose, Purposes, Statement, Visible, resolve, reveal
from engine.events import Event
from engine.profile import merge
from engine.signals import DAY
from features.compute import (
    Context,
    CrossCounts,
    action_values,
    bucket,
    context_values,
    cross_values,
    masked_columns,
    pair_values,
    profile_values,
    signals_by_name,
    vectors,
)
from features.spec import BUCKETS, BY_VIEW, COLUMNS, FEATURES, INDEX, VIEWS
from tests.strategies import ANN, START, TIMES, events, folded

PURPOSES = ("service", "analytics", "personalization")
# an installation gives each trait that is a feature the purpose of that feature
TRAIT_PURPOSES = {f.argument: f.purpose for f in FEATURES if f.source in ("trait", "number_trait")}
POLICY = Purposes({name: Purpose(name) for name in PURPOSES}, traits=TRAIT_PURPOSES)
NOW = max(TIMES) + DAY


def action(name: str = "upgrade", category: str = "hats", purpose: str = "service") -> Action:
    return Action(
        name, name, category, purpose, ("voice",), ("desk",), {"en": "…"}, value=12.5, prior_rate=0.1, cost=2.0
    )


def seen(happened: list[Event], *open_to: str) -> Visible:
    held = {ANN.id: Held({name: (Statement("granted", 1, "test"),) for name in open_to})}
    return reveal(merge([folded(happened)], [ANN.id]), resolve(held, POLICY), PURPOSES, POLICY)


def event(
    number: int, kind: str, name: str, at: int, /, traits: dict[str, Any] | None = None, **properties: Any
) -> Event:
    return Event(f"m{number}", "web", kind, name, at, at, ANN.id, (ANN,), traits or {}, properties)


HISTORY = [
    event(1, "identify", "", START, {"plan": "gold", "tenure_months": 18, "age": "old", "country": None}),
    event(2, "track", "Order Completed", START, revenue=20, category="hats"),
    event(3, "track", "Order Completed", START + DAY, revenue=10, category="shoes"),
    event(4, "track", "Support Contact", START + DAY, channel="call"),
    event(5, "track", "Issue Opened", START + DAY, issueId="i1"),
    event(6, "track", "Issue Opened", START + DAY, issueId="i2"),
    event(7, "track", "Issue Resolved", START + DAY + 1, issueId="i2"),
    event(8, "page", "Home", START + DAY),
    event(9, "outcome", "accepted", START + DAY, action_id="upgrade", category="hats"),
]
AT = START + 2 * DAY
BY_HAND: dict[str, float] = {
    "purchases_1d": 0.25 + 0.5,
    "purchases_30d": 2 ** (-2 / 30) + 2 ** (-1 / 30),
    "revenue_usd_1d": 2000 * 0.25 + 1000 * 0.5,
    "revenue_usd_total": 3000,
    "purchases_total": 2,
    "purchases_days": 1,
    "contacts_voice_1d": 0.5,
    "contacts_email_1d": 0,
    "contacts_total": 1,
    "page_views_1d": 0.5,
    "page_views_days": 1,
    "complaints_days": -1,
    "responses_accepted_1d": 0.5,
    "unresolved_issues": 1,
    "known_days": 2,
    "trait_plan": bucket("gold"),
    "trait_country": -1,
    "trait_tenure_months": 18,
    "trait_age": -1,
    "last_category": bucket("hats"),
}


@pytest.mark.parametrize(("column", "value"), BY_HAND.items(), ids=BY_HAND)
def test_a_value_is_what_it_says(column: str, value: float) -> None:
    assert signals_by_name(seen(HISTORY, *PURPOSES), AT)[column] == pytest.approx(value, rel=1e-6)


def row_of(visible: Visible, one: Action, context: Context | None = None, at: int = AT) -> Mapping[str, float]:
    row = vectors({one.purpose: visible}, [one], context or Context("desk"), [CrossCounts(30, 5)], at)[0]
    return dict(zip(COLUMNS, row.tolist(), strict=True))


def test_the_pair_view_is_the_persons_history_with_the_category() -> None:
    row = row_of(seen(HISTORY, *PURPOSES), action())
    assert row["pair_purchases_1d"] == 0.25
    assert row["pair_accepted_1d"] == 0.5
    assert (row["pair_last_category"], row["pair_last_action"]) == (1.0, 1.0)
    other = row_of(seen(HISTORY, *PURPOSES), action("other", "shoes"))
    assert other["pair_purchases_1d"] == 0.5
    assert (other["pair_last_category"], other["pair_last_action"]) == (0.0, 0.0)


def test_the_other_views_by_hand() -> None:
    row = row_of(seen([]), action(), Context("desk", {"reason": "billing", "sentiment": -0.5, "wait_minutes": "long"}))
    assert row["action_action"] == bucket("upgrade")
    assert (row["action_value"], row["action_cost"]) == (12.5, 2.0)
    assert row["context_reason"] == bucket("billing")
    assert (row["context_topic"], row["context_sentiment"], row["context_wait_minutes"]) == (-1.0, -0.5, 0.0)
    assert (row["hour"], row["weekday"]) == (22, 3)
    assert row["cross_impressions"] == 30
    assert row["cross_acceptance"] == pytest.approx((5 + 20 * 0.1) / 50)


@given(events(), st.sets(st.sampled_from(PURPOSES)))
def test_a_column_is_nan_exactly_where_its_purpose_is_closed(happened: list[Event], open_to: set[str]) -> None:
    visible = seen(happened, *open_to)
    row = row_of(visible, action(), at=NOW)
    closed = {f.name for view in ("profile", "pair") for f in BY_VIEW[view] if f.purpose not in open_to}
    assert {name for name, value in row.items() if math.isnan(value)} == closed == set(masked_columns(visible))
    assert closed.isdisjoint(signals_by_name(visible, NOW))


@given(events(), st.sets(st.sampled_from(PURPOSES)))
def test_what_is_open_does_not_depend_on_what_is_closed(happened: list[Event], open_to: set[str]) -> None:
    part, whole = (
        row_of(seen(happened, *open_to), action(), at=NOW),
        row_of(seen(happened, *PURPOSES), action(), at=NOW),
    )
    assert {n: v for n, v in part.items() if not math.isnan(v)}.items() <= whole.items()


actions = st.lists(
    st.builds(
        action, st.sampled_from(["call_back", "upgrade"]), st.sampled_from(["hats", "shoes"]), st.sampled_from(PURPOSES)
    ),
    max_size=5,
)
numbers = st.floats(0, 1000)
context_of = st.builds(
    Context,
    st.sampled_from(["desk", ""]),
    st.dictionaries(
        st.sampled_from(["reason", "topic", "sentiment", "wait_minutes"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=3)
        | st.lists(st.integers(), max_size=2),
    ),
)


@given(events(), actions, context_of, st.data())
def test_a_row_is_its_views_side_by_side(
    happened: list[Event], offered: list[Action], context: Context, data: st.DataObject
) -> None:
    open_to = {name: data.draw(st.sets(st.sampled_from(PURPOSES)), label=name) for name in PURPOSES}
    views = {name: seen(happened, *opened) for name, opened in open_to.items()}
    counts = [CrossCounts(data.draw(numbers), data.draw(numbers)) for _ in offered]
    rows = vectors(views, offered, context, counts, NOW)
    assert rows.shape == (len(offered), len(COLUMNS))
    assert rows.dtype == np.float32
    for row, one, count in zip(rows, offered, counts, strict=True):
        visible = views[one.purpose]
        parts = {
            "profile": profile_values(visible, NOW),
            "context": context_values(context, NOW),
            "action": action_values(one),
            "pair": pair_values(visible, one, NOW),
            "cross": cross_values(one, count),
        }
        assert row.tobytes() == np.concatenate([parts[view] for view in VIEWS]).tobytes()
        assert not np.isinf(row).any()


@given(st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats())
def test_a_bucket_is_stable_and_in_range(value: Any) -> None:
    assert bucket(value) == bucket(value)
    assert -1.0 <= bucket(value) < BUCKETS


def test_a_number_and_its_text_fall_into_one_bucket_but_padded_ids_do_not() -> None:
    assert bucket(1234) == bucket("1234") != bucket("01234")
    assert bucket(None) == bucket("") == -1.0


def test_the_acceptance_rate_starts_at_the_prior_and_never_passes_one() -> None:
    assert cross_values(action(), CrossCounts()).tolist() == pytest.approx([0.0, 0.1])
    assert cross_values(action(), CrossCounts(5, 500))[1] <= 1.0


def test_every_column_has_its_place() -> None:
    assert [INDEX[name] for name in COLUMNS] == list(range(len(COLUMNS)))
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_a_column_whose_trait_is_for_something_else_is_masked_with_the_trait() -> None:
    moved = msgspec.structs.replace(POLICY, traits={**TRAIT_PURPOSES, "plan": "analytics", "device": "analytics"})
    held = {ANN.id: Held({"service": (Statement("granted", 1, "test"),)})}
    visible = reveal(merge([folded(HISTORY)], [ANN.id]), resolve(held, moved), PURPOSES, moved)
    row = profile_values(visible, NOW)
    assert math.isnan(row[INDEX["trait_plan"]])
    assert row[INDEX["trait_tenure_months"]] == 18
    assert "trait_plan" not in signals_by_name(visible, NOW)
    # what is not there is absent, and what its column closes is named once
    assert [name for name in masked_columns(visible) if name in ("trait_plan", "trait_device")] == [
        "trait_device",
        "trait_plan",
    ]
    assert row[INDEX["trait_language"]] == -1
