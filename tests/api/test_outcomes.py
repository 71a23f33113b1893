"""Outcomes over HTTP: alone, in lists, twice, and wrong."""

from typing import Any

import httpx
import pytest

from tests.api.seed import ANN, decide, grant
from tests.api.world import NOW, WRITE, Rig

UNKNOWN = "aaaaaaaaaaaaaaaa.01ARZ3NDEKTSV4RRFFQ69G5FAV"


async def said(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    made = await decide(client)
    return {
        "decision_id": made["decision_id"],
        "action_id": made["actions"][0]["action_id"],
        "outcome": "accepted",
        **more,
    }


async def test_an_outcome_becomes_an_event_of_the_decisions_profile(rig: Rig, client: httpx.AsyncClient) -> None:
    report = await said(client, by="agent-7", value=12.5, at="2026-09-21T14:00:00Z")
    answer = await client.post("/v1/outcomes", json=report)
    assert answer.json() == {"accepted": 1, "rejected": []}
    event = [e for e in rig.events() if e.kind == "outcome"][-1]
    assert event.home == report["decision_id"].partition(".")[0]
    assert event.properties["placement"] == "agent_desktop"
    assert event.properties["category"]
    assert (event.properties["by"], event.properties["value"]) == ("agent-7", 12.5)
    assert event.at < NOW


@pytest.mark.parametrize(("placement", "contact"), [("agent_desktop", False), ("outbound_call", True)])
async def test_an_outcome_says_whether_it_was_a_contact(
    rig: Rig, client: httpx.AsyncClient, placement: str, contact: bool
) -> None:
    made = await decide(client, placement=placement)
    seen = {"decision_id": made["decision_id"], "action_id": made["actions"][0]["action_id"], "outcome": "presented"}
    await client.post("/v1/outcomes", json=seen)
    assert [e.properties["contact"] for e in rig.events() if e.kind == "outcome"] == [contact]


async def test_saying_it_twice_is_saying_it_once(client: httpx.AsyncClient) -> None:
    await grant(client, "personalization")
    report = await said(client)
    for _ in range(2):
        assert (await client.post("/v1/outcomes", json=report)).status_code == 200
    timeline = (await client.get(f"/v1/profiles/{ANN}/events")).json()["events"]
    assert [e["name"] for e in timeline].count("accepted") == 1


async def test_an_outcome_from_the_future_is_brought_back_to_now(rig: Rig, client: httpx.AsyncClient) -> None:
    await client.post("/v1/outcomes", json=await said(client, at="2999-01-01T00:00:00Z"))
    assert [e.at for e in rig.events() if e.kind == "outcome"] == [NOW]


async def test_items_of_a_list_stand_or_fall_alone(client: httpx.AsyncClient) -> None:
    good = await said(client)
    wrong: list[dict[str, Any]] = [
        {**good, "decision_id": UNKNOWN},
        {**good, "action_id": "nobody_offered_this"},
        {**good, "outcome": "applauded"},
        {**good, "at": "yesterday"},
    ]
    answer = await client.post("/v1/outcomes", json={"outcomes": [good, *wrong, {**good, "outcome": "presented"}]})
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 2
    assert [(r["index"], r["code"]) for r in answer.json()["rejected"]] == [
        (1, "unknown_decision"), (2, "unknown_action"), (3, "unknown_outcome"), (4, "invalid_timestamp"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"decision_id": UNKNOWN}, 404, "unknown_decision"),
        ({"decision_id": "nonsense"}, 404, "unknown_decision"),
        ({"action_id": "nobody_offered_this"}, 422, "unknown_action"),
        ({"outcome": "applauded"}, 422, "unknown_outcome"),
        ({"outcome": None}, 422, "invalid_body"),
        ({"at": "yesterday"}, 422, "invalid_timestamp"),
        ({"value": "much"}, 422, "invalid_body"),
    ],
)
async def test_a_single_outcome_that_cannot_be_taken_is_a_problem(
    client: httpx.AsyncClient, change: dict[str, Any], status: int, code: str
) -> None:
    answer = await client.post("/v1/outcomes", json={**await said(client), **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(("body", "status"), [(b"nothing", 400), (b'{"outcomes": []}', 422), (b'{"outcomes": 3}', 422)])
async def test_an_unusable_body_is_refused(client: httpx.AsyncClient, body: bytes, status: int) -> None:
    assert (await client.post("/v1/outcomes", content=body)).status_code == status


async def test_more_than_500_at_once_are_refused(client: httpx.AsyncClient) -> None:
    report = await said(client)
    assert (await client.post("/v1/outcomes", json={"outcomes": [report] * 501})).status_code == 422


async def test_nothing_is_acknowledged_that_the_log_did_not_take(rig: Rig, client: httpx.AsyncClient) -> None:
    report = await said(client)
    rig.log.problem = "the broker does not answer"
    assert (await client.post("/v1/outcomes", json=report)).status_code == 503


async def test_a_write_key_cannot_report(rig: Rig, client: httpx.AsyncClient) -> None:
    report = await said(client)
    async with rig.client(WRITE) as writer:
        assert (await writer.post("/v1/outcomes", json=report)).status_code == 403
