"""Decisions over HTTP: one, in bulk, and looked at again."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from engine.catalog import Catalogue
from engine.ports import ApiKey
from tests.api.seed import ANN, decide, grant
from tests.api.serving import serving
from tests.api.world import ADMIN, AGENT, WRITE, Rig


async def test_a_decision_names_actions_reasons_consent_and_what_it_was_made_with(client: httpx.AsyncClient) -> None:
    body = await decide(client, context={"reason": "billing"}, limit=2)
    assert [action["rank"] for action in body["actions"]] == [1, 2]
    first = body["actions"][0]
    assert first["title"]
    assert first["content"]
    assert first["reasons"]
    assert all(reason["code"] and reason["text"] for reason in first["reasons"])
    assert 0 < first["propensity"] <= 1
    assert first["score"] == first["probability"] * first["value"] * first["weight"] * first["lever"]
    assert body["decision_id"].startswith(body["profile"]["profile_id"] + ".")
    assert body["consent"]["purposes_used"] == ["service"]
    assert {"model", "catalogue", "policy", "explored"} <= body.keys()


async def test_somebody_unknown_is_decided_on_context_alone(client: httpx.AsyncClient) -> None:
    body = await decide(client, "user_id:never-seen", limit=5)
    assert len(body["actions"]) >= 3


async def test_the_reference_is_normalised_as_events_are(client: httpx.AsyncClient) -> None:
    named = await decide(client, "email: Ann@EXAMPLE.org ")
    assert named["profile"]["profile_id"] == (await decide(client))["profile"]["profile_id"]


async def test_a_grant_opens_features_and_a_withdrawal_masks_them_for_the_next_decision(
    client: httpx.AsyncClient,
) -> None:
    before = await decide(client)
    assert "trait_segment" in before["consent"]["features_masked"]
    await grant(client, "personalization")
    between = await decide(client)
    assert "trait_segment" not in between["consent"]["features_masked"]
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"personalization": False}})
    after = await decide(client)
    assert "trait_segment" in after["consent"]["features_masked"]
    assert {b["rule"] for b in after["blocked"]} >= {"consent"}
    assert len({before["consent"]["hash"], between["consent"]["hash"], after["consent"]["hash"]}) == 3


def asking(context: bytes) -> bytes:
    return b'{"profile": "user_id:u-1", "placement": "web", "context": {"a": ' + context + b"}}"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (asking(b"[" * 30_000), 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b"[]", 422, "invalid_body"),
        (b'{"placement": "web"}', 422, "invalid_body"),
        (b'{"profile": "user_id:u-1", "placement": "web", "limit": 0}', 422, "invalid_body"),
        (b'{"profile": "user_id:u-1", "placement": "attic"}', 400, "unknown_placement"),
        (b'{"profile": "nonsense", "placement": "web"}', 400, "invalid_reference"),
        (b'{"profile": "phone:12", "placement": "web"}', 400, "invalid_reference"),
        (asking(b"1e400"), 422, "invalid_body"),
        (asking(b"9223372036854775808"), 400, "invalid_context"),
        (asking(b"[" * 30 + b"]" * 30), 400, "invalid_context"),
        (asking(b'"' + b"x" * 70_000 + b'"'), 400, "body_too_large"),
    ],
)
async def test_an_unusable_question_is_answered_with_a_problem(
    client: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    answer = await client.post("/v1/decisions", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_odd_but_readable_context_is_decided(client: httpx.AsyncClient) -> None:
    context: dict[str, Any] = {
        "reason": None,
        "topic": 7,
        "sentiment": "bad",
        "big": 2**62,
        "": {"deep": [True, -0.0, "\u0000"]},
    }
    assert (await decide(client, context=context))["actions"]


async def test_no_answer_before_the_log_has_it(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.log.problem = "the broker does not answer"
    answer = await client.post("/v1/decisions", json={"profile": ANN, "placement": "web"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/decisions/bulk"])
async def test_who_may_decide(rig: Rig, path: str) -> None:
    question = {"profile": ANN, "placement": "web"}
    expected = {None: 401, "wrong": 401, WRITE: 403, "preference-key": 403, "auditor-key": 403, AGENT: 200}
    for key, status in expected.items():
        async with rig.client(key) as client:
            assert (await client.post(path, json=question)).status_code == status


async def test_bulk_answers_every_row_in_order_and_names_the_bad_ones(client: httpx.AsyncClient) -> None:
    lines = [
        json.dumps({"profile": ANN, "placement": "web"}),
        "not json",
        "",
        json.dumps({"profile": "nonsense", "placement": "web"}),
        json.dumps({"profile": ANN, "placement": "attic"}),
        json.dumps({"profile": ANN, "placement": "web", "limit": "many"}),
        json.dumps({"profile": "user_id:other", "placement": "agent_desktop", "limit": 1}),
    ]
    answer = await client.post("/v1/decisions/bulk", content="\n".join(lines))
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["row"] for row in rows] == [1, 2, 4, 5, 6, 7]
    assert [row.get("error", {}).get("code") for row in rows] == [
        None, "malformed_json", "invalid_reference", "unknown_placement", "invalid_row", None,
    ]  # fmt: skip
    assert rows[0]["decision_id"] != rows[-1]["decision_id"]


async def test_bulk_logs_every_decision(rig: Rig, client: httpx.AsyncClient) -> None:
    lines = b"".join(b'{"profile": "user_id:b-%d", "placement": "web"}\n' % n for n in range(130))
    answer = await client.post("/v1/decisions/bulk", content=lines)
    ids = {json.loads(line)["decision_id"] for line in answer.text.splitlines()}
    assert len(ids) == 130
    assert {e.message_id for e in rig.events() if e.kind == "decision"} == ids


async def test_a_bulk_row_that_is_too_long_costs_only_itself(client: httpx.AsyncClient) -> None:
    good = b'{"profile": "user_id:u-1", "placement": "web"}'

    async def parts() -> AsyncIterator[bytes]:
        yield good + b"\n"
        for _ in range(5):
            yield b"x" * 40_000
        yield b"\n" + good[:10]
        yield good[10:]

    answer = await client.post("/v1/decisions/bulk", content=parts())
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row.get("error", {}).get("code") for row in rows] == [None, "row_too_large", None]
    assert [row["row"] for row in rows] == [1, 2, 3]


async def test_bulk_says_which_rows_were_not_logged(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.log.problem = "the broker does not answer"
    answer = await client.post("/v1/decisions/bulk", content=b'{"profile": "user_id:u-1", "placement": "web"}')
    assert json.loads(answer.text)["error"]["code"] == "unavailable"


async def test_a_past_decision_shows_its_answer_and_its_inputs(client: httpx.AsyncClient) -> None:
    made = await decide(client, context={"reason": "billing"})
    again = (await client.get(f"/v1/decisions/{made['decision_id']}")).json()
    record = again.pop("record")
    assert again == made
    assert record["context"] == {"reason": "billing"}
    assert record["known"]["plan"] == "premium"
    assert record["used"]["unresolved_issues"] == 1.0
    assert {c["action_id"] for c in record["candidates"]} >= {a["action_id"] for a in made["actions"]}


async def test_what_was_withdrawn_since_is_withheld_from_a_past_decision(client: httpx.AsyncClient) -> None:
    await grant(client, "personalization")
    made = await decide(client)
    path = f"/v1/decisions/{made['decision_id']}"
    assert (await client.get(path)).json()["record"]["known"]["segment"] == "family"
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"personalization": False}})
    after = (await client.get(path)).json()
    assert "segment" not in after["record"]["known"]
    assert "trait_segment" not in after["record"]["used"]
    assert {"trait:segment", "feature:trait_segment"} <= set(after["record"]["withheld"])


def speaking(rig: Rig, text: str) -> None:
    """Every action of the catalogue says this."""
    documents = rig.configuration.current.catalogue.documents
    actions = tuple(msgspec.structs.replace(action, content={"en": text}) for action in documents.actions)
    catalogue = Catalogue(msgspec.structs.replace(documents, actions=actions))
    rig.configuration.current = msgspec.structs.replace(rig.configuration.current, catalogue=catalogue)
    rig.past.keep(catalogue, rig.configuration.current.purposes)


@pytest.mark.parametrize("text", ["Many a {segment} likes it", "For the {nickname}s' home", "Dear {nickname}, hello"])
async def test_a_text_that_a_withdrawn_value_was_filled_into_is_withheld(
    rig: Rig, client: httpx.AsyncClient, text: str
) -> None:
    named = {"type": "identify", "userId": "u-1", "traits": {"nickname": " Sweetie  pie "}}
    async with rig.client() as writer:
        await writer.post("/v1/batch", json={"batch": [named]}, auth=(WRITE, ""))
    speaking(rig, text)
    await grant(client, "personalization")
    path = f"/v1/decisions/{(await decide(client, placement='web'))['decision_id']}"
    assert "{" not in (await client.get(path)).json()["actions"][0]["content"]
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"personalization": False}})
    actions = (await client.get(path)).json()["actions"]
    assert {a["content"] for a in actions} == {None}


async def test_a_text_stays_that_names_nothing_closed(rig: Rig, client: httpx.AsyncClient) -> None:
    speaking(rig, "A 4th family member, {first_name}?")
    await grant(client, "personalization")
    made = await decide(client)
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"personalization": False}})
    path = f"/v1/decisions/{made['decision_id']}"
    assert (await client.get(path)).json()["actions"][0]["content"] == "A 4th family member, Ann?"
    record = rig.state.decisions[made["decision_id"]]
    unkept = {**record.versions, "catalogue_digest": "of another installation"}
    rig.state.decisions[made["decision_id"]] = msgspec.structs.replace(record, versions=unkept)
    assert (await client.get(path)).json()["actions"][0]["content"] is None


async def test_a_column_is_withheld_with_its_trait(rig: Rig, client: httpx.AsyncClient) -> None:
    purposes = rig.configuration.current.purposes
    moved = msgspec.structs.replace(purposes, traits={**purposes.traits, "monthly_bill": "personalization"})
    rig.configuration.current = msgspec.structs.replace(rig.configuration.current, purposes=moved)
    await grant(client, "personalization")
    path = f"/v1/decisions/{(await decide(client))['decision_id']}"
    assert (await client.get(path)).json()["record"]["used"]["trait_monthly_bill"] > 0
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"personalization": False}})
    record = (await client.get(path)).json()["record"]
    assert "trait_monthly_bill" not in record["used"]
    assert "feature:trait_monthly_bill" in record["withheld"]


async def test_of_somebody_restricted_nothing_is_shown(client: httpx.AsyncClient) -> None:
    made = await decide(client)
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"restricted": True})
    record = (await client.get(f"/v1/decisions/{made['decision_id']}")).json()["record"]
    assert (record["known"], record["used"], record["segment"]) == ({}, {}, "")
    assert "segment" in record["withheld"]


async def test_a_reader_sees_a_past_decision_only_as_far_as_its_purposes_reach(rig: Rig) -> None:
    async with rig.client(ADMIN) as admin, rig.client("auditor-key") as auditor:
        await grant(admin, "personalization")
        made = await decide(admin)
        seen = (await auditor.get(f"/v1/decisions/{made['decision_id']}")).json()
    assert "segment" not in seen["record"]["known"]
    assert seen["record"]["known"]["plan"] == "premium"


async def test_whoever_sees_nothing_for_service_does_not_see_where_the_person_lives(rig: Rig) -> None:
    """A time zone may come from a phone number."""
    rig.keys.add(ApiKey("bare", "marketer", ("marketing",)), "bare-key")
    asked = {"profile": ANN, "placement": "agent_desktop"}
    async with rig.client("bare-key") as bare, rig.client("marketer-key") as other:
        made = (await bare.post("/v1/decisions", json=asked)).json()
        row = json.loads((await bare.post("/v1/decisions/bulk", json=asked)).content)
        past = (await bare.get(f"/v1/decisions/{made['decision_id']}")).json()
        assert not [one for one in (made, row, past) if "time_zone" in one["policy"]]
        assert (await other.post("/v1/decisions", json=asked)).json()["policy"]["time_zone"] == "UTC"


@pytest.mark.parametrize("named", ["nonsense", "aaaaaaaaaaaaaaaa.01ARZ3NDEKTSV4RRFFQ69G5FAV"])
async def test_an_unknown_decision_is_not_found(client: httpx.AsyncClient, named: str) -> None:
    answer = await client.get(f"/v1/decisions/{named}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_decision")


async def test_the_catalogue_is_shown_and_is_not_sent_twice(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/catalogue")
    assert len(answer.json()["actions"]) >= 15
    again = await client.get("/v1/catalogue", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_client_that_sends_everything_before_it_reads_does_not_hang(rig: Rig) -> None:
    context = {"note": "x" * 2000}
    row = json.dumps({"profile": ANN, "placement": "web", "context": context}).encode() + b"\n"
    with serving(rig.app) as url:
        answer = httpx.post(f"{url}/v1/decisions/bulk", content=row * 1500, headers={"X-API-Key": ADMIN}, timeout=60)
    assert answer.text.count("decision_id") == 1500
