"""The demonstration's client against the real application on a loopback socket, over a world in memory."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest

from infra.demo.cdnow import FILE, compare, events, expected, purchases, replay
from infra.demo.client import Client, DemoFailed
from infra.embedded import free_port
from tests.api.serving import serving
from tests.api.world import ADMIN, NOW, WRITE, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def client(rig: Rig) -> Iterator[Client]:
    with serving(rig.app) as url:
        made = Client(url, ADMIN, WRITE)
        yield made
        made.close()


def silent(_step: str, _done: int, _of: int) -> None:
    return None


def test_a_replay_over_http_is_compared_with_pandas(client: Client, tmp_path: Path) -> None:
    some = tmp_path / "some.csv.gz"
    pd.read_csv(FILE, dtype=str).head(500).to_csv(some, index=False)
    found = replay(client, lambda: NOW, silent, some)
    assert found.events == 500
    assert len(found.compared) == purchases(some)["customer_id"].nunique()
    assert found.differences == ()
    assert replay(client, lambda: NOW, silent, some).differences == ()


def test_a_profile_that_misses_a_purchase_differs(client: Client, tmp_path: Path) -> None:
    some = tmp_path / "some.csv.gz"
    frame = pd.read_csv(FILE, dtype=str).head(40)
    frame.to_csv(some, index=False)
    client.send(list(events(purchases(some))))
    more = pd.concat([frame, frame.head(1).assign(date="19980102", value="1.00")])
    more.to_csv(some, index=False)
    found = list(compare(client, expected(purchases(some)), lambda: NOW))
    assert [one.customer_id for one in found if one.found != one.expected] == [frame["customer_id"].iloc[0]]


def test_a_decision_and_its_outcomes(client: Client, rig: Rig) -> None:
    asks = [{"profile": f"user_id:c-{n}", "placement": "agent_desktop", "limit": 1} for n in range(3)]
    answers = client.decide(asks)
    assert len({answer["decision_id"] for answer in answers}) == 3
    first = answers[0]
    named = {"decision_id": first["decision_id"], "action_id": first["actions"][0]["action_id"]}
    client.report([{**named, "outcome": "presented"}, {**named, "outcome": "accepted", "value": 12.0}])
    assert [event.name for event in rig.events() if event.kind == "outcome"] == ["presented", "accepted"]


def test_somebody_nobody_heard_of_has_no_profile(client: Client) -> None:
    assert client.profile("user_id:nobody") is None
    assert list(client.profiles(["user_id:nobody", "user_id:no-one"])) == [None, None]


def test_patience_where_the_system_asks_for_it(client: Client, rig: Rig) -> None:
    rig.log.refusals = 1
    client.send([{"type": "track", "userId": "p-1", "event": "Something"}])
    client.wait_until_folded({"user_id:p-1": 1})
    assert [event.name for event in rig.events()] == ["Something"]


def test_what_is_refused_is_said(client: Client) -> None:
    with pytest.raises(DemoFailed, match=r"1 events were rejected.*non-empty event name"):
        client.send([{"type": "track", "userId": "p-1"}])
    with pytest.raises(DemoFailed, match="a decision was refused: the catalogue has the placements"):
        client.decide([{"profile": "user_id:p-1", "placement": "nowhere"}])
    with pytest.raises(DemoFailed, match="an outcome was rejected"):
        client.report([{"decision_id": "nonsense", "action_id": "e_bill", "outcome": "presented"}])


def test_a_wrong_key_is_said(rig: Rig) -> None:
    with serving(rig.app) as url, pytest.raises(DemoFailed, match="POST /v1/batch answered 401"):
        Client(url, ADMIN, "no-such-key").send(list(islice(events(purchases()), 1)))


def test_where_nobody_answers_it_says_what_to_start() -> None:
    with pytest.raises(DemoFailed, match=r"does not answer .*; start `rapport up` first"):
        Client(f"http://127.0.0.1:{free_port()}", ADMIN, WRITE).profile("user_id:p-1")
