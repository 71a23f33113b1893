"""The ingest door's paths, keys and preflights, as stock clients use them."""

from base64 import b64encode
from typing import Any

import pytest

from api.deps import Limits
from engine.ports import ApiKey
from tests.api.world import ADMIN, AGENT, WRITE, Rig

BASIC = {"Authorization": "Basic " + b64encode(f"{WRITE}:".encode()).decode()}
BODIES: dict[str, dict[str, Any]] = {
    "identify": {"userId": "u-1", "traits": {"plan": "basic"}},
    "track": {"userId": "u-1", "event": "Order Completed"},
    "page": {"anonymousId": "a-1", "name": "Home"},
    "screen": {"anonymousId": "a-1", "name": "Home"},
    "group": {"userId": "u-1", "groupId": "g-1"},
    "alias": {"userId": "u-1", "previousId": "a-1"},
    "merge": {"mergeProperties": [{"type": "user_id", "value": "u-1"}, {"type": "email", "value": "a@example.org"}]},
}
SHORT = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias"}
PATHS = [(f"/v1/{kind}", kind) for kind in BODIES] + [(f"/v1/{letter}", kind) for letter, kind in SHORT.items()]
INGEST = [path for path, _ in PATHS] + ["/v1/batch", "/v1/b", "/v1/cloudevents"]


@pytest.mark.parametrize(("path", "kind"), PATHS)
async def test_a_single_call_becomes_an_event_of_its_path_kind(path: str, kind: str) -> None:
    rig = Rig()
    async with rig.client() as client:
        answer = await client.post(path, json=BODIES[kind], headers=BASIC)
    assert (answer.status_code, answer.json()) == (200, {"success": True, "accepted": 1, "rejected": []})
    assert [event.kind for event in rig.events()] == [kind]


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/b"])
async def test_a_batch_says_each_items_kind(path: str) -> None:
    rig = Rig()
    items = [{"type": kind, **body} for kind, body in BODIES.items()]
    async with rig.client() as client:
        answer = await client.post(path, json={"batch": items}, headers=BASIC)
    assert answer.json() == {"success": True, "accepted": len(items), "rejected": []}
    assert sorted(event.kind for event in rig.events()) == sorted(BODIES)


@pytest.mark.parametrize(
    ("headers", "in_body"),
    [
        (BASIC, None),
        ({"Authorization": "Basic " + b64encode(WRITE.encode()).decode()}, None),
        ({"Authorization": f"Basic {WRITE}:"}, None),
        ({}, WRITE),
        ({"Authorization": "Bearer an-oauth-token"}, WRITE),
        ({"Authorization": f"Bearer {WRITE}"}, None),
        ({"X-API-Key": WRITE}, None),
        ({"X-API-Key": ADMIN}, None),
    ],
    ids=["basic", "basic-no-colon", "basic-plain", "body", "bearer+body", "bearer", "x-api-key", "admin"],
)
async def test_every_form_of_the_write_key_opens(headers: dict[str, str], in_body: str | None) -> None:
    rig = Rig()
    body = {"batch": [{"type": "track", **BODIES["track"]}]} | ({"writeKey": in_body} if in_body else {})
    async with rig.client() as client:
        batch = await client.post("/v1/batch", json=body, headers=headers)
        single = await client.post("/v1/track", json=BODIES["track"] | {"writeKey": in_body}, headers=headers)
    assert (batch.status_code, single.status_code) == (200, 200)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic d3Jvbmc6"}, {"X-API-Key": AGENT}])
async def test_without_a_write_key_nothing_comes_in(headers: dict[str, str]) -> None:
    rig = Rig()
    async with rig.client() as client:
        answers = [await client.post(path, json={"batch": []}, headers=headers) for path in INGEST]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "invalid_write_key"
        assert answer.json()["message"]
    assert not list(rig.events())


async def test_a_write_key_reads_nothing() -> None:
    async with Rig().client(WRITE) as client:
        answer = await client.get("/v1/profiles/user_id:u-1")
    assert answer.status_code == 403


@pytest.mark.parametrize("path", [*INGEST, "/v1/projects/write-key/settings", "/sourceConfig/", "/sourceConfig"])
async def test_preflights_of_stock_browser_clients_pass(path: str) -> None:
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "anonymousid,authorization,content-type,sentat,x-retry-count",
    }
    async with Rig().client() as client:
        answer = await client.options(path, headers=asked)
    allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert allowed >= {"authorization", "content-type", "anonymousid", "sentat", "x-retry-count"}


async def test_a_page_may_read_answers_and_retry_after() -> None:
    async with Rig().client() as client:
        good = await client.post("/v1/t", json=BODIES["track"], headers=BASIC)
        bad = await client.post("/v1/t", json=BODIES["track"])
    for answer in (good, bad):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


async def test_a_key_bound_to_origins_refuses_pages_of_others() -> None:
    rig = Rig()
    rig.keys.add(ApiKey("web", "write", source="web", allow_origins=("https://shop.example",)), "web-key")
    async with rig.client("web-key") as client:
        own = await client.post("/v1/t", json=BODIES["track"], headers={"Origin": "https://shop.example"})
        other = await client.post("/v1/t", json=BODIES["track"], headers={"Origin": "https://elsewhere.example"})
        server = await client.post("/v1/t", json=BODIES["track"])
    assert (own.status_code, other.status_code, server.status_code) == (200, 403, 200)


async def test_segment_settings_point_the_client_here() -> None:
    async with Rig().client() as client:
        answer = await client.get(f"/v1/projects/{WRITE}/settings")
        unknown = await client.get("/v1/projects/nobody/settings")
    segment = answer.json()["integrations"]["Segment.io"]
    assert segment == {"apiKey": WRITE, "apiHost": "rapport/v1", "protocol": "http"}
    assert unknown.status_code == 401


async def test_rudder_source_config_is_one_its_client_accepts() -> None:
    async with Rig().client() as client:
        answer = await client.get("/sourceConfig/", params={"p": "npm", "v": "3", "writeKey": WRITE})
        unknown = await client.get("/sourceConfig/", params={"writeKey": "nobody"})
    source = answer.json()["source"]
    assert source["id"]
    assert source["writeKey"] == WRITE
    assert source["enabled"] is True
    assert isinstance(source["config"], dict)
    assert source["destinations"] == []
    assert unknown.status_code == 401


async def test_beyond_the_rate_the_answer_says_when_to_come_back() -> None:
    rig = Rig(limits=Limits(requests_per_second=2))
    async with rig.client(WRITE) as client:
        answers = [await client.post("/v1/t", json=BODIES["track"]) for _ in range(3)]
        rig.clock.at += 1000
        later = await client.post("/v1/t", json=BODIES["track"])
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert int(answers[2].headers["Retry-After"]) >= 1
    assert answers[2].headers["RateLimit"] == '"ingest";r=0;t=1'
    assert answers[2].json()["code"] == "rate_limited"
    assert later.status_code == 200


async def test_an_unavailable_log_is_a_503_with_an_integer_retry_after() -> None:
    rig = Rig()
    rig.log.problem = "the log does not answer; send the events again"
    async with rig.client(WRITE) as client:
        answer = await client.post("/v1/t", json=BODIES["track"])
        rig.log.problem = ""
        again = await client.post("/v1/t", json=BODIES["track"])
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert {"code", "message"} <= answer.json().keys()
    assert again.status_code == 200
