"""OFREP 0.3.0 over HTTP: its answers, its own errors, and a bulk answer that is not sent twice."""

from typing import Any

import httpx
import pytest

from engine.experiment import arm_of
from tests.api.seed import ANN, grant, seed
from tests.api.trying import try_out
from tests.api.world import AGENT, WRITE, Rig

ONE, ALL = "/ofrep/v1/evaluate/flags/web", "/ofrep/v1/evaluate/flags"
WHO = {"context": {"targetingKey": ANN}}
PURPOSE = "service"
VARIANTS = [{"id": "off", "share": 0.5, "value": False}, {"id": "on", "share": 0.5, "value": True}]


@pytest.fixture
async def rig() -> Rig:
    made = Rig()
    await seed(made)
    try_out(made, experiments=[{"id": "dark", "variants": VARIANTS, "purpose": PURPOSE}])
    return made


async def flag(client: httpx.AsyncClient, key: str, **context: Any) -> dict[str, Any]:
    answer = await client.post(f"{ALL}/{key}", json={"context": {"targetingKey": ANN, **context}})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert {"key", "reason", "variant", "metadata"} <= body.keys()
    return body


def kinds(rig: Rig, kind: str) -> list[Any]:
    return [event for event in rig.events() if event.kind == kind]


async def test_a_placement_is_its_next_best_action(rig: Rig, client: httpx.AsyncClient) -> None:
    body = await flag(client, "web", reason="billing")
    [decision] = kinds(rig, "decision")
    value = body["value"]
    assert (body["key"], body["variant"]) == ("web", value["action_id"])
    assert body["reason"] in ("TARGETING_MATCH", "SPLIT")
    assert value["content"]
    assert value["decision_id"] == body["metadata"]["decision_id"] == decision.message_id
    assert rig.state.decisions[decision.message_id].context == {"reason": "billing"}
    assert value["actions"][0]["action_id"] == value["action_id"]


async def test_where_nothing_may_be_shown_the_callers_default_applies(rig: Rig, client: httpx.AsyncClient) -> None:
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"preferences": {"voice": {"all": False}}})
    body = await flag(client, "outbound_call")
    assert "value" not in body
    assert (body["reason"], body["variant"]) == ("UNKNOWN", "none")


async def test_an_experiment_is_its_variant_and_every_evaluation_an_exposure(
    rig: Rig, client: httpx.AsyncClient
) -> None:
    bodies = [await flag(client, "dark") for _ in range(3)]
    plan = rig.configuration.current.allocation.plan
    arm = arm_of(plan, plan.experiments[0], rig.id_of(ANN))
    assert {body["variant"] for body in bodies} == {arm}
    assert {body["value"] for body in bodies} == {arm == "on"}
    assert {body["reason"] for body in bodies} == {"SPLIT"}
    assert [e.properties for e in kinds(rig, "exposure")] == [{"experiment": "dark", "variant": arm}] * 3


async def test_an_exposure_counts_for_nothing(rig: Rig, client: httpx.AsyncClient) -> None:
    before = rig.state.view(rig.id_of(ANN)).profile.state.signals
    await flag(client, "dark")
    assert rig.state.view(rig.id_of(ANN)).profile.state.signals == before


async def test_who_refuses_gets_the_default_and_no_exposure(rig: Rig, client: httpx.AsyncClient) -> None:
    try_out(rig, experiments=[{"id": "dark", "variants": VARIANTS, "purpose": "personalization"}])
    body = await flag(client, "dark")
    assert (body["value"], body["variant"], body["reason"]) == (False, "off", "STATIC")
    assert kinds(rig, "exposure") == []
    await grant(client, "personalization")
    assert (await flag(client, "dark"))["reason"] == "SPLIT"


async def test_what_is_over_is_disabled(rig: Rig, client: httpx.AsyncClient) -> None:
    try_out(rig, experiments=[{"id": "dark", "variants": VARIANTS, "purpose": PURPOSE, "end": "2020-01-01"}])
    body = await flag(client, "dark")
    assert (body["value"], body["reason"]) == (False, "DISABLED")


async def test_a_key_without_a_type_is_a_user_id_and_strangers_stay_dealt(rig: Rig, client: httpx.AsyncClient) -> None:
    plain = (await client.post(f"{ALL}/dark", json={"context": {"targetingKey": "u-1"}})).json()
    assert plain == await flag(client, "dark")
    strangers = [{"context": {"targetingKey": f"anonymous_id:s-{n}"}} for n in range(20)]
    first = [(await client.post(f"{ALL}/dark", json=who)).json()["variant"] for who in strangers]
    assert set(first) == {"on", "off"}
    assert first == [(await client.post(f"{ALL}/dark", json=who)).json()["variant"] for who in strangers]


async def test_bulk_has_experiments_and_placements_on_the_web(rig: Rig, client: httpx.AsyncClient) -> None:
    answer = await client.post(ALL, json=WHO)
    flags = {one["key"]: one for one in answer.json()["flags"]}
    assert set(flags) == {"web", "dark"}
    assert flags["web"]["value"]["decision_id"] in rig.state.decisions
    assert len(kinds(rig, "exposure")) == 1


async def test_bulk_is_not_sent_again_while_nothing_changed(rig: Rig, client: httpx.AsyncClient) -> None:
    tag = (await client.post(ALL, json=WHO)).headers["etag"]
    logged = len(list(rig.events()))
    again = await client.post(ALL, json=WHO, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert len(list(rig.events())) == logged
    other = await client.post(ALL, json={"context": {"targetingKey": "u-2"}}, headers={"If-None-Match": tag})
    assert other.status_code == 200


CHANGES: dict[str, Any] = {
    "an event": lambda client: client.post("/v1/track", json={"userId": "u-1", "event": "Ping"}, auth=(WRITE, "")),
    "consent": lambda client: client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"advertising": False}}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_bulk_is_sent_again_after(client: httpx.AsyncClient, change: Any) -> None:
    tag = (await client.post(ALL, json=WHO)).headers["etag"]
    assert (await change(client)).status_code == 200
    again = await client.post(ALL, json=WHO, headers={"If-None-Match": tag})
    assert again.status_code == 200
    assert again.headers["etag"] != tag


async def test_bulk_is_sent_again_after_an_edit_and_after_an_hour(rig: Rig, client: httpx.AsyncClient) -> None:
    tag = (await client.post(ALL, json=WHO)).headers["etag"]
    rig.clock.at += 3_600_000
    later = await client.post(ALL, json=WHO, headers={"If-None-Match": tag})
    assert later.status_code == 200
    try_out(rig, salt="another")
    edited = await client.post(ALL, json=WHO, headers={"If-None-Match": later.headers["etag"]})
    assert edited.status_code == 200


async def test_bulk_is_sent_again_once_a_yes_has_expired(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.clock.at += 60_000 - rig.clock.at % 3_600_000
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"jurisdiction": "GDPR"})
    await grant(client, "marketing")
    rig.clock.at += 730 * 86_400_000 - 1000
    tag = (await client.post(ALL, json=WHO)).headers["etag"]
    for later, status in ((500, 304), (500, 200)):
        rig.clock.at += later
        assert (await client.post(ALL, json=WHO, headers={"If-None-Match": tag})).status_code == status


DEEP = b'{"context": {"targetingKey": "u", "a": ' + b"[" * 30 + b"]" * 30 + b"}}"
WRONG: dict[str, tuple[str, bytes, int, str]] = {
    "no json": (ONE, b"{", 400, "PARSE_ERROR"),
    "no text": (ONE, b"\xff", 400, "PARSE_ERROR"),
    "a list": (ONE, b"[]", 400, "INVALID_CONTEXT"),
    "context is a list": (ONE, b'{"context": []}', 400, "INVALID_CONTEXT"),
    "no context": (ONE, b"{}", 400, "TARGETING_KEY_MISSING"),
    "no key": (ONE, b'{"context": {}}', 400, "TARGETING_KEY_MISSING"),
    "a number": (ONE, b'{"context": {"targetingKey": 7}}', 400, "TARGETING_KEY_MISSING"),
    "no phone": (ONE, b'{"context": {"targetingKey": "phone:12"}}', 400, "INVALID_CONTEXT"),
    "too deep": (
        ONE,
        b'{"context": {"targetingKey": "u", "a": ' + b"[" * 30 + b"]" * 30 + b"}}",
        400,
        "INVALID_CONTEXT",
    ),
    "too long": (ONE, b'{"context": {"targetingKey": "' + b"u" * 70_000 + b'"}}', 400, "GENERAL"),
    "no such flag": (f"{ALL}/attic", b'{"context": {"targetingKey": "u"}}', 404, "FLAG_NOT_FOUND"),
}


@pytest.mark.parametrize(("path", "body", "status", "code"), WRONG.values(), ids=WRONG)
async def test_errors_have_their_own_shape(
    client: httpx.AsyncClient, path: str, body: bytes, status: int, code: str
) -> None:
    answer = await client.post(path, content=body)
    said = answer.json()
    assert (answer.status_code, said["errorCode"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert said["errorDetails"]
    assert said["key"] == path.rpartition("/")[2]


async def test_a_bulk_error_names_no_flag(client: httpx.AsyncClient) -> None:
    answer = await client.post(ALL, content=b"{}")
    assert answer.status_code == 400
    assert answer.json().keys() == {"errorCode", "errorDetails"}


@pytest.mark.parametrize("path", [ONE, ALL])
async def test_who_may_evaluate(rig: Rig, path: str) -> None:
    expected = {None: 401, "wrong": 401, WRITE: 403, "auditor-key": 403, AGENT: 200}
    for key, status in expected.items():
        async with rig.client(key) as client:
            answer = await client.post(path, json=WHO)
            assert answer.status_code == status
            assert status == 200 or answer.json().keys() == {"errorDetails"}
    async with rig.client() as client:
        assert (await client.post(path, json=WHO, headers={"Authorization": f"Bearer {AGENT}"})).status_code == 200


async def test_no_answer_before_the_log_has_it(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.log.problem = "the broker does not answer"
    for path in (ONE, f"{ALL}/dark", ALL):
        answer = await client.post(path, json=WHO)
        assert (answer.status_code, list(answer.json())) == (503, ["errorDetails"])
        assert int(answer.headers["retry-after"]) > 0
