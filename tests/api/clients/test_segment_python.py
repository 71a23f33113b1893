"""The stock `segment-analytics-python` with only its host changed."""

import math
from typing import Any

import pytest
from segment.analytics.client import Client

from tests.api.clients.conftest import Served
from tests.api.world import WRITE, Rig


def names(rig: Rig) -> list[tuple[str, str]]:
    return [(event.kind, event.name) for event in rig.events()]


def client(served: Served, failures: list[Any], **options: Any) -> Client:
    return Client(WRITE, host=served.url, on_error=lambda error, batch: failures.append((error, batch)), **options)


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_every_call_arrives(served: Served, gzip: bool) -> None:
    failures: list[Any] = []
    segment = client(served, failures, gzip=gzip)
    segment.identify("u-1", {"email": "ann@example.org", "plan": "basic"})
    segment.track("u-1", "Order Completed", {"total": 25.0, "currency": "USD"})
    segment.page("u-1", "docs", "Pricing")
    segment.screen("u-1", "app", "Home")
    segment.group("u-1", "acme", {"industry": "telecom"})
    segment.alias("a-1", "u-1")
    segment.flush()
    segment.join()
    assert failures == []
    assert sorted(names(served.rig)) == [
        ("alias", ""),
        ("group", "acme"),
        ("identify", ""),
        ("page", "Pricing"),
        ("screen", "Home"),
        ("track", "Order Completed"),
    ]
    state = served.rig.state.view(served.rig.id_of("email:Ann@Example.org")).profile.state
    assert state.traits["plan"].value == "basic"
    assert state.signals["revenue.USD"].total == 2500


def test_a_thousand_events_arrive_once(served: Served) -> None:
    failures: list[Any] = []
    segment = client(served, failures, max_queue_size=2000)
    for n in range(1000):
        segment.track(f"u-{n % 7}", "Ping", {"n": n})
    segment.flush()
    segment.join()
    assert failures == []
    assert sorted(event.properties["n"] for event in served.rig.events()) == list(range(1000))


def test_not_a_number_does_not_cost_the_batch(served: Served) -> None:
    failures: list[Any] = []
    segment = client(served, failures)
    segment.track("u-1", "Ping", {"value": math.nan})
    segment.track("u-1", "Pong")
    segment.flush()
    segment.join()
    assert failures == []
    assert names(served.rig) == [("track", "Ping"), ("track", "Pong")]


def test_it_retries_while_the_log_is_away(served: Served) -> None:
    failures: list[Any] = []
    served.rig.log.refusals = 1
    segment = client(served, failures, max_retries=10)
    segment.track("u-1", "Ping")
    segment.flush()
    segment.join()
    assert failures == []
    assert served.rig.log.refusals == 0
    assert names(served.rig) == [("track", "Ping")]


def test_a_wrong_key_is_reported_and_not_retried(served: Served) -> None:
    failures: list[Any] = []
    segment = Client("wrong", host=served.url, on_error=lambda error, _: failures.append(error), max_retries=1)
    segment.track("u-1", "Ping")
    segment.flush()
    segment.join()
    assert [error.status for error in failures] == [401]
    assert names(served.rig) == []
