"""The CDNOW replay: the file is what it should be, and profiles folded from it say what pandas says."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from engine.consent import country_of, resolve, reveal
from engine.events import Arrival, normalise, parse_time
from engine.identifiers import parse_reference
from features.compute import signals_by_name
from infra.config import load
from infra.demo.cdnow import FILE, Compared, Replayed, Summary, events, expected, purchases, summary_of
from infra.memory import MemoryState
from infra.settings import DEMO_CONFIG

NOW = 1_800_000_000_000
SECRET = b"a secret of tests only"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return purchases()


def test_the_file_is_the_whole_sample(frame: pd.DataFrame) -> None:
    raw = pd.read_csv(FILE, dtype={"customer_id": str})
    wanted = expected(frame)
    assert (len(frame), len(wanted)) == (6919, 2357)
    assert sum(one.purchases for one in wanted.values()) == len(raw)
    assert sum(one.revenue for one in wanted.values()) == round(raw["value"].sum() * 100)
    assert raw.duplicated(["customer_id", "date", "cds", "value"]).sum() == 21


def test_ids_keep_their_zeros_and_equal_rows_are_events_of_their_own(frame: pd.DataFrame) -> None:
    sent = list(events(frame))
    assert sent[0]["userId"].startswith("0")
    assert len({event["messageId"] for event in sent}) == 6919
    assert [e["timestamp"] for e in sent] == sorted(e["timestamp"] for e in sent)


def folded(frame: pd.DataFrame) -> MemoryState:
    rules = load(DEMO_CONFIG).identity
    state = MemoryState(lambda: NOW)
    arrival = Arrival(SECRET, "demo", NOW)
    for raw in events(frame):
        state.apply([normalise(raw, arrival, rules, "")])
    return state


def profile_of(state: MemoryState, customer: str) -> Mapping[str, Any]:
    configuration = load(DEMO_CONFIG)
    view = state.view(parse_reference(SECRET, configuration.identity, f"user_id:{customer}").id)
    consent = resolve(view.held, configuration.purposes, country_of(view.profile))
    visible = reveal(view.profile, consent, ("service",), configuration.purposes)
    return {"signals": signals_by_name(visible, NOW)}


def test_profiles_say_what_pandas_says(frame: pd.DataFrame) -> None:
    wanted = expected(frame)
    some = frame[frame["customer_id"].isin(sorted(wanted)[:400])]
    state = folded(some)
    for customer, summary in expected(some).items():
        assert summary_of(profile_of(state, customer), NOW) == summary == wanted[customer]


def test_a_difference_is_reported() -> None:
    right, wrong = Summary(1, 100, "1997-01-01"), Summary(2, 200, "1997-01-01")
    found = Replayed(3, (Compared("a", right, right), Compared("b", right, wrong), Compared("c", right, None)), 0.1)
    assert [one.customer_id for one in found.differences] == ["b", "c"]
    assert found.revenue == 300


def test_events_lie_at_noon(frame: pd.DataFrame) -> None:
    first = next(events(frame))
    assert first["timestamp"] == "1997-01-01T12:00:00Z"
    assert parse_time(first["timestamp"]) == 852_120_000_000
