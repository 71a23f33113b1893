"""CloudEvents 1.0 in its three modes, and the webhook handshake."""

from base64 import b64encode
from typing import Any

import httpx
import orjson
import pytest

from tests.api.world import WRITE, Rig

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/shop",
    "type": "Order Completed",
    "subject": "u-1",
    "time": "2026-01-31T12:00:00Z",
    "data": {"total": 12.5},
}
HEADERS = {f"ce-{name}": str(value) for name, value in EVENT.items() if name != "data"}
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
DATA = orjson.dumps(EVENT["data"])


async def post(rig: Rig, body: bytes, headers: dict[str, str]) -> httpx.Response:
    async with rig.client(WRITE) as client:
        return await client.post("/v1/cloudevents", content=body, headers=headers)


MODES: dict[str, tuple[bytes, dict[str, str]]] = {
    "binary": (DATA, HEADERS | {"Content-Type": "application/json"}),
    "binary-no-type": (DATA, HEADERS),
    "structured": (orjson.dumps(EVENT), STRUCTURED),
    "base64": (
        orjson.dumps({**EVENT, "data": None, "data_base64": b64encode(DATA).decode()}),
        STRUCTURED,
    ),
    "batch": (orjson.dumps([EVENT]), BATCH),
}


@pytest.mark.parametrize("mode", MODES)
async def test_every_mode_gives_the_same_event(mode: str) -> None:
    rig = Rig()
    answer = await post(rig, *MODES[mode])
    (event,) = rig.events()
    assert answer.json() == {"success": True, "accepted": 1, "rejected": []}
    assert (event.kind, event.name, event.properties) == ("track", "Order Completed", {"total": 12.5})
    assert (event.message_id, event.home) == ("/shop#e-1", rig.id_of("user_id:u-1"))
    assert event.at == 1_769_860_800_000


async def test_the_same_source_and_id_count_once() -> None:
    rig = Rig()
    for body in (EVENT, EVENT, {**EVENT, "source": "/other"}):
        await post(rig, orjson.dumps(body), STRUCTURED)
    assert rig.state.view(rig.id_of("user_id:u-1")).profile.state.signals["purchases"].total == 2


@pytest.mark.parametrize(
    "subject",
    [b"J%C3%BCrgen%20%25%22x", 'Jürgen %25"x'.encode("latin-1"), 'Jürgen %25"x'.encode(), b'"J%C3%BCrgen %25\\"x"'],
    ids=["percent", "latin-1", "utf-8", "quoted"],
)
async def test_header_values_mean_what_their_sender_meant(subject: bytes) -> None:
    rig = Rig()
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name != "ce-subject"]
    async with rig.client(WRITE) as client:
        await client.post("/v1/cloudevents", content=DATA, headers=[*headers, (b"ce-subject", subject)])
    (event,) = rig.events()
    assert event.identifiers[0].value == 'Jürgen %"x'


async def test_the_extension_names_a_device_and_our_types_name_calls() -> None:
    rig = Rig()
    identify = {**EVENT, "type": "dev.rapport.identify", "data": {"traits": {"plan": "basic"}}, "anonymousid": "a-1"}
    await post(rig, orjson.dumps(identify), STRUCTURED)
    (event,) = rig.events()
    assert (event.kind, event.traits) == ("identify", {"plan": "basic"})
    assert [i.type for i in event.identifiers] == ["user_id", "anonymous_id"]


async def test_a_batch_item_that_is_no_cloudevent_is_rejected_alone() -> None:
    rig = Rig()
    answer = await post(rig, orjson.dumps([EVENT, {**EVENT, "source": ""}, 3, {**EVENT, "subject": None}]), BATCH)
    assert answer.json()["accepted"] == 1
    found = [(r["index"], r["code"]) for r in answer.json()["rejected"]]
    assert found == [(1, "missing_attribute"), (2, "not_an_object"), (3, "missing_identity")]


async def test_an_empty_batch_is_taken() -> None:
    answer = await post(Rig(), b"[]", BATCH)
    assert answer.json() == {"success": True, "accepted": 0, "rejected": []}


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (DATA, {k: v for k, v in HEADERS.items() if k != "ce-id"}, 400, "missing_attribute"),
        (orjson.dumps({**EVENT, "type": None}), STRUCTURED, 400, "missing_attribute"),
        (orjson.dumps({**EVENT, "specversion": "0.3"}), STRUCTURED, 400, "unknown_version"),
        (b"{", HEADERS | {"Content-Type": "application/json"}, 400, "invalid_json"),
        (orjson.dumps([EVENT]), STRUCTURED, 400, "not_an_object"),
        (orjson.dumps(EVENT), BATCH, 400, "not_an_array"),
        (DATA, {"Content-Type": "application/json"}, 415, "not_a_cloudevent"),
        (DATA, {"Content-Type": "text/csv"}, 415, "not_a_cloudevent"),
    ],
)
async def test_what_is_no_cloudevent_is_refused(body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    rig = Rig()
    answer = await post(rig, body, headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not list(rig.events())


async def test_the_webhook_handshake_is_answered() -> None:
    asked = {"WebHook-Request-Origin": "events.example.com", "WebHook-Request-Rate": "120"}
    async with Rig().client() as client:
        answer = await client.options("/v1/cloudevents", headers=asked)
        plain = await client.options("/v1/cloudevents")
    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "*"
    assert answer.headers["WebHook-Allowed-Rate"] == "*"
    assert "POST" in answer.headers["Allow"]
    assert "WebHook-Allowed-Origin" not in plain.headers
