"""One customer whom several tests know: events in by the front door, consent as the test wants it."""

from typing import Any

import httpx

from tests.api.world import ADMIN, WRITE, Rig

ANN = "user_id:u-1"
TRAITS = {
    "name": "Ann Example",
    "first_name": "Ann",
    "email": "ann@example.org",
    "plan": "premium",
    "country": "DE",
    "tenure_months": 14,
    "monthly_bill": 39.9,
    "segment": "family",
    "satisfaction": 4,
}


def events() -> list[dict[str, Any]]:
    """Who Ann is, and what happened so far."""
    order = {"total": 49.0, "currency": "USD", "category": "tv"}
    return [
        {"type": "identify", "userId": "u-1", "traits": TRAITS},
        {"type": "track", "userId": "u-1", "event": "Order Completed", "properties": order},
        {
            "type": "track",
            "userId": "u-1",
            "event": "Support Contact",
            "properties": {"channel": "call", "topic": "bill"},
        },
        {
            "type": "track",
            "userId": "u-1",
            "event": "Issue Opened",
            "properties": {"issueId": "i-1", "topic": "invoice"},
        },
    ]


async def seed(rig: Rig) -> None:
    """Ann, as the gateway takes her."""
    async with rig.client() as client:
        answer = await client.post("/v1/batch", json={"batch": events()}, auth=(WRITE, ""))
    assert answer.json()["accepted"] == len(events())


async def grant(client: httpx.AsyncClient, *purposes: str, ref: str = ANN) -> None:
    """An explicit yes to each purpose."""
    tag = (await client.get(f"/v1/profiles/{ref}/consent")).headers["etag"]
    body = {"purposes": dict.fromkeys(purposes, True)}
    answer = await client.patch(f"/v1/profiles/{ref}/consent", json=body, headers={"If-Match": tag})
    assert answer.status_code == 200, answer.text


async def decide(
    client: httpx.AsyncClient, ref: str = ANN, placement: str = "agent_desktop", **more: Any
) -> dict[str, Any]:
    """One decision, as its caller gets it."""
    answer = await client.post("/v1/decisions", json={"profile": ref, "placement": placement, **more})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def seed_history(rig: Rig) -> None:
    """Ann with a phone, an eventful month and her yes to personalization: what the pages are looked at with."""
    days = 86_400_000
    now = rig.clock()
    story: list[tuple[float, dict[str, Any]]] = [
        (410, {"type": "identify", "userId": "u-1", "traits": {**TRAITS, "phone": "+49 151 12345678"}}),
        (31, {"type": "track", "event": "Order Completed", "properties": {"total": 129.0, "category": "router"}}),
        (9, {"type": "track", "event": "Order Completed", "properties": {"total": 49.0, "category": "tv"}}),
        (
            6,
            {"type": "track", "event": "Product Viewed", "properties": {"title": "Mesh set", "category": "smart_home"}},
        ),
        (5, {"type": "page", "name": "Prices"}),
        (3, {"type": "track", "event": "Support Contact", "properties": {"channel": "call", "topic": "invoice"}}),
        (3, {"type": "track", "event": "Issue Opened", "properties": {"issueId": "i-1", "topic": "Invoice too high"}}),
        (1, {"type": "track", "event": "Complaint Filed", "properties": {"channel": "email", "topic": "invoice"}}),
    ]
    async with rig.client() as client:
        for ago, event in story:
            rig.clock.at = int(now - ago * days)
            answer = await client.post("/v1/batch", json={"batch": [{"userId": "u-1", **event}]}, auth=(WRITE, ""))
            assert answer.json()["accepted"] == 1
    rig.clock.at = now
    async with rig.client(ADMIN) as client:
        await grant(client, "personalization", "profiling", "analytics")
        await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"advertising": False}})


async def link(rig: Rig, ref: str = ANN) -> str:
    """Where somebody's own preference page is."""
    async with rig.client(ADMIN) as client:
        made = await client.post(f"/v1/profiles/{ref}/preference-link")
    assert made.status_code == 200, made.text
    return str(made.json()["url"]).removeprefix("http://rapport")
