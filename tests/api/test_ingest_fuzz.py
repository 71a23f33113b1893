"""No input makes the ingest door fail: whatever comes is taken, rejected in its place, or answered with a 400."""

import gzip
from typing import Any

import httpx
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.events import CLIENT_KINDS
from tests.api.world import WRITE, Rig

PATHS = st.sampled_from(
    ["/v1/batch", "/v1/cloudevents", *(f"/v1/{kind}" for kind in sorted(CLIENT_KINDS)), "/v1/t", "/v1/b"]
)
CONTENT_TYPES = st.sampled_from(
    ["application/json", "text/plain", "application/cloudevents+json", "application/cloudevents-batch+json"]
)
TEXT = st.text(max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(TEXT, v, max_size=4), max_leaves=12)
MOMENTS = st.datetimes().map(lambda moment: moment.isoformat()) | VALUES
# fields that mean something, each now and then with what it should hold and now and then with anything
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(sorted(CLIENT_KINDS)) | VALUES,
        "event": st.sampled_from(["Order Completed", "Promotion Viewed", "Segment Consent Preference Updated"])
        | VALUES,
        "userId": st.sampled_from(["u-1", "null", "👤"]) | VALUES,
        "anonymousId": VALUES,
        "previousId": VALUES,
        "groupId": VALUES,
        "messageId": VALUES,
        "timestamp": MOMENTS,
        "originalTimestamp": MOMENTS,
        "sentAt": MOMENTS,
        "traits": st.dictionaries(st.sampled_from(["email", "phone", "plan"]), VALUES) | VALUES,
        "properties": st.dictionaries(
            st.sampled_from(["decision_id", "outcome", "total", "products", "issueId", "category", "channel"]), VALUES
        )
        | VALUES,
        "context": st.dictionaries(
            st.sampled_from(["traits", "device", "externalIds", "consent", "consentManagement", "groupId"]), VALUES
        )
        | VALUES,
        "mergeProperties": st.lists(st.fixed_dictionaries({"type": VALUES, "value": VALUES}), max_size=3) | VALUES,
    },
)
BATCHES = st.fixed_dictionaries(
    {"batch": st.lists(EVENTS | VALUES, max_size=5)},
    optional={"context": VALUES, "integrations": VALUES, "sentAt": MOMENTS, "writeKey": VALUES},
)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=str) if _fits(value) else str(value).encode("utf-8", "replace")


def _fits(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


async def answered(path: str, body: bytes, headers: dict[str, str]) -> tuple[httpx.Response, Rig]:
    rig = Rig()
    async with rig.client(WRITE) as client:
        return await client.post(path, content=body, headers=headers), rig


def check(answer: httpx.Response, rig: Rig) -> None:
    assert answer.status_code in (200, 400, 415)
    if answer.status_code != 200:
        assert {"code", "message"} <= answer.json().keys()
        assert not list(rig.events())
        return
    taken = sum(1 for event in rig.events() if event.kind != "outcome")
    assert answer.json()["accepted"] == taken
    assert all(r["code"] and r["message"] for r in answer.json()["rejected"])


@FUZZ
@given(path=PATHS, body=st.binary(max_size=300), packed=st.booleans(), content_type=CONTENT_TYPES)
async def test_random_bytes(path: str, body: bytes, packed: bool, content_type: str) -> None:
    headers = {"Content-Type": content_type} | ({"Content-Encoding": "gzip"} if packed else {})
    check(*await answered(path, gzip.compress(body) if packed else body, headers))


@FUZZ
@given(path=PATHS, value=VALUES, content_type=CONTENT_TYPES)
async def test_random_json(path: str, value: Any, content_type: str) -> None:
    check(*await answered(path, dumps(value), {"Content-Type": content_type}))


@FUZZ
@given(batch=BATCHES)
async def test_nearly_right_batches(batch: dict[str, Any]) -> None:
    answer, rig = await answered("/v1/batch", dumps(batch), {})
    check(answer, rig)
    if answer.status_code == 200:
        assert answer.json()["accepted"] + len(answer.json()["rejected"]) == len(batch["batch"])


@FUZZ
@given(kind=st.sampled_from(sorted(CLIENT_KINDS)), event=EVENTS)
async def test_nearly_right_events(kind: str, event: dict[str, Any]) -> None:
    check(*await answered(f"/v1/{kind}", dumps(event), {}))


@FUZZ
@given(
    headers=st.dictionaries(st.sampled_from(["ce-id", "ce-source", "ce-type", "ce-subject", "ce-time"]), TEXT),
    data=VALUES,
)
async def test_nearly_right_cloudevents(headers: dict[str, str], data: Any) -> None:
    readable = {name: "".join(c for c in value if c.isprintable() and c.isascii()) for name, value in headers.items()}
    check(*await answered("/v1/cloudevents", dumps(data), {"ce-specversion": "1.0", **readable}))
