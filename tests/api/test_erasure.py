"""Erasing and exporting over HTTP: who may, what is gone, what stays out, and what the certificate says."""

import json
from collections import Counter
from typing import Any

import httpx
import pytest

from engine.erasure_job import MARGIN_MS, REASONS
from tests.api.seed import ANN, decide, grant, seed
from tests.api.world import ADMIN, AGENT, WRITE, Rig


async def erase(client: httpx.AsyncClient, ref: str = ANN) -> dict[str, Any]:
    answer = await client.delete(f"/v1/profiles/{ref}", params={"reason": "data_subject_request"})
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/erasures/{body['erasure_id']}"
    return body


async def track(rig: Rig, name: str, at: int) -> None:
    when = f"{at // 1000}"
    async with rig.client() as client:
        body = {"type": "track", "userId": "u-1", "event": name, "messageId": f"{name}-{when}", "timestamp": iso(at)}
        answer = await client.post("/v1/batch", json={"batch": [body]}, auth=(WRITE, ""))
    assert answer.json()["accepted"] == 1


def iso(at: int) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415 reason: one helper of one test

    return datetime.fromtimestamp(at / 1000, UTC).isoformat()


async def test_an_erased_person_is_gone_under_every_identifier() -> None:
    rig = Rig()
    await seed(rig)
    async with rig.client(ADMIN) as client:
        await grant(client, "personalization")
        decision = (await decide(client))["decision_id"]
        job = await erase(client)
        for ref in (ANN, "email:ann@example.org", f"profile_id:{rig.id_of(ANN)}"):
            assert (await client.get(f"/v1/profiles/{ref}")).status_code == 404
        for path in (f"/v1/decisions/{decision}",):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (410, "erased")
        assert (await client.post(f"/v1/decisions/{decision}/replay", json={})).status_code == 410
        outcome = {"decision_id": decision, "action_id": "call_back", "outcome": "presented"}
        late = await client.post("/v1/outcomes", json=outcome)
        assert (late.status_code, late.json()["code"]) == (410, "erased")
        many = (await client.post("/v1/outcomes", json={"outcomes": [outcome]})).json()
        assert [one["code"] for one in many["rejected"]] == ["erased"]
        consent = (await client.get(f"/v1/profiles/{ANN}/consent")).json()
        assert {said["status"] for said in consent["purposes"].values()} <= {"not_asked", "granted"}
        assert consent["purposes"]["personalization"]["at"] is None
        assert job["erased_before"] > job["requested_at"]


async def test_a_look_at_the_desk_makes_nobody_known() -> None:
    rig = Rig()
    await seed(rig)
    async with rig.client(ADMIN) as client:
        await erase(client)
        rig.clock.at += MARGIN_MS + 1
        for ref in (ANN, "user_id:never-seen"):
            await client.post("/desk/actions", json={"profile": ref}, headers={"X-API-Key": AGENT})
            assert rig.state.view(rig.id_of(ref)).known
            for at in ({}, {"at": rig.clock.at}):
                assert (await client.get(f"/v1/profiles/{ref}", params=at)).status_code == 404
            shown = await client.post("/desk/customer", json={"profile": ref})
            assert "Somebody new" in shown.text
            # the decision is kept, so it can be exported and erased
            assert (await client.get(f"/v1/profiles/{ref}/export")).status_code == 200
            await erase(client, ref)


async def test_the_certificate_names_stores_and_holds_ids_only() -> None:
    rig = Rig()
    await seed(rig)
    async with rig.client(ADMIN) as client:
        job = await erase(client)
        found = (await client.get(f"/v1/erasures/{job['erasure_id']}")).json()
    assert (found["status"], found["requested_by"], found["reason"]) == (
        "completed",
        "first-admin",
        "data_subject_request",
    )
    certificate = found["certificate"]
    assert set(certificate["identifiers"]) == {rig.id_of(ANN), rig.id_of("email:ann@example.org")}
    rows = {store["store"]: store["rows_removed"] for store in certificate["stores"]}
    assert (rows["archive events"], rows["fragments"], rows["identity index"]) == (4, 1, 2)
    text = json.dumps(found)
    assert "ann" not in text.lower()
    assert "u-1" not in text


async def test_late_events_stay_out_and_later_ones_start_anew() -> None:
    rig = Rig()
    await seed(rig)
    before = rig.clock()
    async with rig.client(ADMIN) as client:
        await erase(client)
        rig.clock.at = before + MARGIN_MS + 60_000
        await track(rig, "Order Completed", before - 60_000)
        assert (await client.get(f"/v1/profiles/{ANN}")).status_code == 404
        await track(rig, "Support Contact", rig.clock())
        profile = (await client.get(f"/v1/profiles/{ANN}")).json()
        page = (await client.get(f"/v1/profiles/{ANN}/events")).json()
    assert profile["traits"] == {}
    assert [event["name"] for event in page["events"]] == ["Support Contact"]
    assert [i["type"] for i in profile["identifiers"]] == ["user_id"]


async def test_erasing_again_a_person_who_came_back() -> None:
    rig = Rig()
    await seed(rig)
    async with rig.client(ADMIN) as client:
        first = await erase(client)
        assert (await client.delete(f"/v1/profiles/{ANN}")).status_code == 404
        rig.clock.at += MARGIN_MS + 60_000
        await track(rig, "Anew", rig.clock())
        second = await erase(client)
        assert first["erasure_id"] != second["erasure_id"]
        assert (await client.get(f"/v1/profiles/{ANN}")).status_code == 404
        assert (await client.get(f"/v1/erasures/{first['erasure_id']}")).json()["status"] == "completed"


@pytest.mark.parametrize("key", [AGENT, "marketer-key", "engineer-key", "auditor-key"])
async def test_who_may_neither_erase_nor_export(key: str) -> None:
    rig = Rig()
    await seed(rig)
    async with rig.client(key) as client:
        assert (await client.delete(f"/v1/profiles/{ANN}")).status_code == 403
        assert (await client.get(f"/v1/profiles/{ANN}/export")).status_code == 403
    async with rig.client(ADMIN) as client:
        assert (await client.get(f"/v1/profiles/{ANN}")).status_code == 200


async def test_what_cannot_be_erased() -> None:
    rig = Rig()
    async with rig.client("preference-key") as client:
        assert (await client.delete("/v1/profiles/user_id:nobody")).json()["code"] == "unknown_profile"
        unnamed = await client.delete(f"/v1/profiles/{ANN}?reason=ann@example.org")
        assert unnamed.status_code == 422
        assert all(reason in unnamed.json()["errors"][0]["message"] for reason in REASONS)
        assert "ann@" not in unnamed.text
        assert (await client.get("/v1/erasures/none")).json()["code"] == "unknown_erasure"
        assert (await client.get("/v1/profiles/user_id:nobody/export")).status_code == 404


async def test_a_wish_the_log_does_not_take_is_no_job() -> None:
    rig = Rig()
    await seed(rig)
    rig.log.problem = "no broker"
    async with rig.client(ADMIN) as client:
        assert (await client.delete(f"/v1/profiles/{ANN}")).status_code == 503
        rig.log.problem = ""
        assert (await client.get(f"/v1/profiles/{ANN}")).status_code == 200


async def test_an_export_has_everything_and_says_that_it_is_whole() -> None:
    rig = Rig()
    await seed(rig)
    async with rig.client(ADMIN) as client:
        await grant(client, "personalization")
        made = await decide(client)
        report = {
            "decision_id": made["decision_id"],
            "action_id": made["actions"][0]["action_id"],
            "outcome": "presented",
        }
        assert (await client.post("/v1/outcomes", json=report)).status_code < 300
    async with rig.client("preference-key") as client:
        answer = await client.get(f"/v1/profiles/{ANN}/export")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["cache-control"] == "no-store"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds[0] == "profile"
    assert kinds[-1] == "end"
    assert {kind: kinds.count(kind) for kind in ("event", "decision", "outcome", "link")} == {
        "event": 4,
        "decision": 1,
        "outcome": 1,
        "link": 1,
    }
    assert lines[0]["value"]["traits"]["email"]["value"] == "ann@example.org"
    assert next(one["value"] for one in lines if one["kind"] == "decision")["properties"]["record"]["answer"] == made
    assert "consent" in kinds
    assert "consent_record" in kinds
    assert lines[-1]["value"]["counts"] == Counter(kinds[:-1])
