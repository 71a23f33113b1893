"""OpenDSR over HTTP: what is understood, receipts and their signatures, waiting and calling back, carrying out."""

import hmac
import json
from base64 import b64decode, b64encode
from typing import Any

import httpx
import pytest

from api.data_requests import carry_out
from api.status_calls import tell
from engine.data_request import KEPT_MS, PATIENCE_MS, WAIT_MS
from engine.ports import Unavailable
from engine.status_callback import LONGEST_PAUSE_MS, LOOK_MS, MOST_TRIES
from tests.api.seed import ANN, seed
from tests.api.world import ADMIN, Rig

PLACE = "/opendsr/v1/opendsr_requests"
ID = "a7551968-d5d6-44b2-9831-815ac9017798"
OTHER = "b7551968-d5d6-44b2-9831-815ac9017798"
KEY = "preference-key"


def asked(kind: str = "erasure", **more: Any) -> dict[str, Any]:
    return {
        "regulation": "gdpr",
        "subject_request_id": ID,
        "subject_request_type": kind,
        "submitted_time": "2026-10-02T15:00:00Z",
        "subject_identities": [identity("email", "ann@example.org")],
        **more,
    }


def identity(kind: str, value: str, form: str = "raw") -> dict[str, str]:
    return {"identity_type": kind, "identity_value": value, "identity_format": form}


async def seeded() -> Rig:
    rig = Rig()
    await seed(rig)
    return rig


async def carried_out(rig: Rig) -> int:
    rig.clock.at += WAIT_MS
    return await carry_out(rig.world)


async def status(client: httpx.AsyncClient, request_id: str = ID) -> str:
    return str((await client.get(f"{PLACE}/{request_id}")).json()["request_status"])


def is_signed(answer: httpx.Response, key: str = KEY) -> bool:
    ours = hmac.digest(key.encode(), answer.content, "sha256")
    return b64decode(answer.headers["x-opendsr-signature"]) == ours


async def test_discovery_is_open_and_says_what_is_understood() -> None:
    async with Rig().client() as client:
        answer = await client.get("/opendsr/v1/discovery")
    assert answer.status_code == 200
    body = answer.json()
    assert {one["identity_type"] for one in body["supported_identities"]} == {
        "email",
        "phone",
        "controller_customer_id",
    }
    assert {one["identity_format"] for one in body["supported_identities"]} == {"raw"}
    assert body["supported_subject_request_types"] == ["access", "portability", "erasure"]
    assert {"api_version", "processor_certificate"} <= body.keys()


async def test_a_receipt_repeats_the_request_and_is_signed() -> None:
    rig = await seeded()
    sent = json.dumps(asked()).encode()
    async with rig.client(KEY) as client:
        answer = await client.post(PLACE, content=sent)
    assert answer.status_code == 201
    body = answer.json()
    assert body["subject_request_id"] == ID
    assert body["controller_id"] == "preferences"
    assert body["encoded_request"] == b64encode(sent).decode()
    assert body["received_time"] < body["expected_completion_time"]
    assert answer.headers["x-opendsr-processor-domain"] == "rapport"
    assert is_signed(answer)
    assert not is_signed(answer, "another key")


async def test_the_same_id_twice_is_one_request() -> None:
    rig = await seeded()
    async with rig.client(KEY) as client:
        first = (await client.post(PLACE, json=asked())).json()
        rig.clock.at += 1000
        again = await client.post(PLACE, json=asked(submitted_time="2026-10-03T15:00:00Z"))
        other = await client.post(PLACE, json=asked("access"))
        stranger = await client.post(PLACE, json=asked(subject_identities=[identity("email", "bob@example.org")]))
    assert (again.status_code, again.json()["received_time"]) == (201, first["received_time"])
    assert {other.status_code, stranger.status_code} == {409}
    assert await carried_out(rig) == 1


async def test_an_erasure_waits_and_is_then_carried_out() -> None:
    rig = await seeded()
    async with rig.client(KEY) as client:
        both = [identity("email", "ann@example.org"), identity("controller_customer_id", "u-1")]
        await client.post(PLACE, json=asked(subject_identities=both))
        assert await carry_out(rig.world) == 0
        assert await status(client) == "pending"
        assert (await client.get(f"/v1/profiles/{ANN}")).status_code == 200
        assert await carried_out(rig) == 1
        assert await status(client) == "completed"
        assert (await client.get(f"/v1/profiles/{ANN}")).status_code == 404
        [job] = rig.requests.kept[ID].jobs
        certificate = (await client.get(f"/v1/erasures/{job}")).json()
    assert (certificate["requested_by"], certificate["status"]) == ("preferences", "completed")
    assert await carried_out(rig) == 0


async def test_calling_back_while_pending() -> None:
    rig = await seeded()
    async with rig.client(KEY) as client:
        await client.post(PLACE, json=asked())
        for _ in range(2):
            answer = await client.delete(f"{PLACE}/{ID}")
            assert (answer.status_code, answer.json()["subject_request_id"]) == (202, ID)
            assert is_signed(answer)
        assert await carried_out(rig) == 0
        assert await status(client) == "cancelled"
        assert (await client.get(f"/v1/profiles/{ANN}")).status_code == 200


async def test_what_was_carried_out_cannot_be_called_back() -> None:
    rig = await seeded()
    async with rig.client(KEY) as client:
        await client.post(PLACE, json=asked())
        await carried_out(rig)
        answer = await client.delete(f"{PLACE}/{ID}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, 409)
        assert await status(client) == "completed"


@pytest.mark.parametrize("kind", ["access", "portability"])
async def test_access_gives_everything_for_a_month(kind: str) -> None:
    rig = await seeded()
    async with rig.client(KEY) as client:
        both = [identity("email", "ann@example.org"), identity("controller_customer_id", "u-1")]
        await client.post(PLACE, json=asked(kind, subject_identities=both))
        assert (await client.get(f"{PLACE}/{ID}/results")).status_code == 409
        assert "results_url" not in (await client.get(f"{PLACE}/{ID}")).json()
        await carried_out(rig)
        told = (await client.get(f"{PLACE}/{ID}")).json()
        answer = await client.get(told["results_url"])
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert answer.headers["cache-control"] == "no-store"
        assert [line["kind"] for line in lines].count("profile") == 1
        assert lines[0]["value"]["traits"]["email"]["value"] == "ann@example.org"
        assert lines[-1]["kind"] == "end"
        assert rig.reads.kept[-1].what == "export"
        rig.clock.at += KEPT_MS
        assert (await client.get(told["results_url"])).status_code == 410


async def test_an_erasure_that_did_not_get_through_is_taken_up_again() -> None:
    rig = await seeded()
    async with rig.client(KEY) as client:
        await client.post(PLACE, json=asked())
        rig.log.problem = "no broker"
        with pytest.raises(Unavailable):
            await carried_out(rig)
        assert await status(client) == "in_progress"
        rig.log.problem = ""
        assert await carry_out(rig.world) == 0
        rig.clock.at += PATIENCE_MS
        assert await carry_out(rig.world) == 1
        assert await status(client) == "completed"
        assert (await client.get(f"/v1/profiles/{ANN}")).status_code == 404


CALLED = "https://controller.example/status"


async def told(rig: Rig) -> list[dict[str, Any]]:
    """What goes out when the next look is due."""
    before = len(rig.caller.calls)
    rig.clock.at += LOOK_MS
    await tell(rig.world)
    return [json.loads(body) for _, body, _ in rig.caller.calls[before:]]


async def test_a_controller_is_told_whenever_the_status_changes() -> None:
    rig = await seeded()
    async with rig.client(KEY) as client:
        await client.post(PLACE, json=asked("access", status_callback_urls=[CALLED, CALLED]))
        assert await told(rig) == []
        await carried_out(rig)
        [said] = await told(rig)
        results = (await client.get(f"{PLACE}/{ID}")).json()["results_url"]
    assert said == {
        "controller_id": "preferences",
        "expected_completion_time": said["expected_completion_time"],
        "status_callback_url": CALLED,
        "subject_request_id": ID,
        "request_status": "completed",
        "api_version": "1.0",
        "results_url": results,
    }
    [(url, body, headers)] = rig.caller.calls
    secret = hmac.digest(KEY.encode(), ID.encode(), "sha256").hex()
    assert url == CALLED
    assert b64decode(headers["X-OpenDSR-Signature"]) == hmac.digest(secret.encode(), body, "sha256")
    assert headers["X-OpenDSR-Processor-Domain"] == "rapport"
    assert await told(rig) == []
    assert rig.callbacks.kept == {}


async def test_a_cancellation_is_told_too() -> None:
    rig = await seeded()
    async with rig.client(KEY) as client:
        await client.post(PLACE, json=asked(status_callback_urls=[CALLED]))
        await client.delete(f"{PLACE}/{ID}")
        rig.clock.at += WAIT_MS
        assert [said["request_status"] for said in await told(rig)] == ["cancelled"]


async def test_who_does_not_answer_is_called_again_for_some_hours() -> None:
    rig = await seeded()
    rig.caller.problem = "the address answered 503"
    async with rig.client(KEY) as client:
        await client.post(PLACE, json=asked("access", status_callback_urls=[CALLED]))
    await carried_out(rig)
    assert len(await told(rig)) == 1
    assert await told(rig) == []
    while rig.callbacks.kept:
        rig.clock.at += LONGEST_PAUSE_MS
        await tell(rig.world)
    assert len(rig.caller.calls) == MOST_TRIES


async def test_somebody_who_comes_back_learns_the_status_of_now() -> None:
    rig = await seeded()
    rig.caller.problem = "the address answered 503"
    async with rig.client(KEY) as client:
        await client.post(PLACE, json=asked(status_callback_urls=[CALLED]))
    await carried_out(rig)
    await told(rig)
    rig.caller.problem = ""
    rig.clock.at += LONGEST_PAUSE_MS
    assert [said["request_status"] for said in await told(rig)] == ["completed"]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"status_callback_urls": [url]} for url in ("ftp://a.example/", "controller.example", "http://u:p@a/", "")),
        {"status_callback_urls": ["https://a.example/" + "x" * 2048]},
        {"status_callback_urls": [f"https://a.example/{n}" for n in range(11)]},
        {"subject_request_id": ID.upper()},
        {"subject_request_id": "a7551968-d5d6-11b2-9831-815ac9017798"},
        {"subject_request_type": "rectification"},
        {"regulation": "none"},
        {"submitted_time": "yesterday"},
        {"submitted_time": "2026-10-02T15:00:00"},
        {"subject_identities": []},
        {"subject_identities": [identity("email", "a" * 64, "sha256")]},
        {"subject_identities": [identity("roku_publisher_id", "x")]},
        {"subject_identities": [identity("email", "no address")]},
        {"subject_identities": [identity("phone", "12")]},
        {"subject_identities": [identity("controller_customer_id", "null")]},
    ],
)
async def test_what_cannot_be_taken_has_the_specifications_shape(wrong: dict[str, Any]) -> None:
    rig = Rig()
    async with rig.client(KEY) as client:
        answer = await client.post(PLACE, json=asked(**wrong))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == 400
    assert error["errors"][0].keys() == {"domain", "reason", "message"}
    assert not any(text in answer.text for text in ("no address", "rectification", "0-9a-f"))
    assert rig.requests.kept == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"regulation": 1}', b"[" * 5000])
async def test_what_is_no_request_at_all(body: bytes) -> None:
    async with Rig().client(KEY) as client:
        answer = await client.post(PLACE, content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)


@pytest.mark.parametrize(("key", "expected"), [(None, 401), ("agent-key", 403), ("auditor-key", 403), (ADMIN, 404)])
async def test_who_may(key: str | None, expected: int) -> None:
    async with Rig().client(key) as client:
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/results")):
            answer = await client.request(method, f"{PLACE}/{OTHER}{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (expected, expected)
