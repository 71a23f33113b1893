"""Replay over HTTP: the same bytes again, an altered record named, what would have won, and who may ask."""

from typing import Any

import httpx
import msgspec
import pytest

from models.seal import CATALOGUE, sums_of
from tests.api.seed import ANN, decide, grant
from tests.api.test_erasure import erase
from tests.api.world import ADMIN, Rig


async def replayed(client: httpx.AsyncClient, decision: str, **body: Any) -> httpx.Response:
    return await client.post(f"/v1/decisions/{decision}/replay", json=body)


async def test_a_decision_replays_to_the_same_answer(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        await grant(client, "personalization", "marketing", "analytics", "profiling")
        made = await decide(client, context={"reason": "billing"})
        answer = await client.post(f"/v1/decisions/{made['decision_id']}/replay")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"identical": True, "decision": made}


async def test_an_altered_record_is_named(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        named = (await decide(client))["decision_id"]
        record = rig.state.decisions[named]
        rig.state.decisions[named] = msgspec.structs.replace(record, context={"reason": "moving"})
        body = (await replayed(client, named)).json()
        assert (body["identical"], body["difference"]["inputs"]) == (False, ["context"])
        rig.state.decisions[named] = msgspec.structs.replace(record, vectors=b"\1" + record.vectors[1:])
        body = (await replayed(client, named)).json()
        assert (body["identical"], body["difference"]["results"]) == (False, ["vectors"])
        refused = await replayed(client, named, what_if={"kind": "context", "name": "reason", "value": "moving"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_identical")


async def test_one_changed_input_shows_what_would_have_won(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        made = await decide(client, context={"reason": "billing"})
        change = {"kind": "context", "name": "reason", "value": "cancel"}
        body = (await replayed(client, made["decision_id"], what_if=change)).json()
        found = body["what_if"]
        asked_so = await decide(client, context={"reason": "cancel"})
        history = len(rig.state.decisions)
    assert body["identical"]
    assert found["change"] == change
    assert found["before"] == made["actions"][0]["action_id"]
    assert found["winner"] == found["decision"]["actions"][0]["action_id"]
    supposed, real = ({a["action_id"]: a["score"] for a in one["actions"]} for one in (found["decision"], asked_so))
    common = supposed.keys() & real.keys()
    assert common
    assert {name: supposed[name] for name in common} == {name: real[name] for name in common}
    assert found["because"]
    assert history == 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"kind": "trait", "name": "plan", "value": "basic"}, 200),
        ({"kind": "signal", "name": "unresolved_issues", "value": 0}, 200),
        ({"kind": "consent", "name": "personalization", "value": False}, 200),
        ({"kind": "consent", "name": "service", "value": False}, 422),
        ({"kind": "consent", "name": "nonsense", "value": True}, 422),
        ({"kind": "signal", "name": "nonsense", "value": 1}, 422),
        ({"kind": "signal", "name": "unresolved_issues", "value": "many"}, 422),
        ({"kind": "context", "name": "n", "value": 1 << 70}, 422),
        ({"kind": "weather", "name": "n", "value": 1}, 422),
    ],
)
async def test_what_can_be_supposed(rig: Rig, change: dict[str, Any], status: int) -> None:
    async with rig.client(ADMIN) as client:
        await grant(client, "personalization")
        made = await decide(client)
        assert (await replayed(client, made["decision_id"], what_if=change)).status_code == status


async def test_what_is_closed_cannot_be_supposed(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        made = await decide(client)
        answer = await replayed(client, made["decision_id"], what_if={"kind": "trait", "name": "segment", "value": "x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unsupposable")
    assert "personalization" in answer.json()["detail"]


async def test_after_a_withdrawal_only_an_auditor_replays_and_supposes_nothing(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        await grant(client, "personalization")
        named = (await decide(client))["decision_id"]
        await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"personalization": False}})
        refused = await replayed(client, named)
    assert (refused.status_code, refused.json()["code"]) == (403, "withdrawn_since")
    async with rig.client("auditor-key") as client:
        answer = await replayed(client, named)
        supposing = await replayed(client, named, what_if={"kind": "trait", "name": "plan", "value": "basic"})
    assert answer.json()["identical"] is True
    assert supposing.status_code == 403


@pytest.mark.parametrize(("key", "status"), [("engineer-key", 200), ("auditor-key", 200), ("agent-key", 403)])
async def test_who_may_replay(rig: Rig, key: str, status: int) -> None:
    async with rig.client(ADMIN) as client:
        named = (await decide(client))["decision_id"]
    async with rig.client(key) as client:
        assert (await replayed(client, named)).status_code == status
        assert (await replayed(client, "aaaaaaaaaaaaaaaa.01K0000000000000000000000A")).status_code in (404, 403)


async def test_what_is_no_longer_kept_is_said_to_be_gone(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        named = (await decide(client))["decision_id"]
        record = rig.state.decisions[named]
        lost = msgspec.structs.replace(record, versions={**record.versions, CATALOGUE: "0" * 32})
        rig.state.decisions[named] = msgspec.structs.replace(lost, sums=sums_of(lost))
        gone = await replayed(client, named)
        rig.state.decisions[named] = msgspec.structs.replace(record, versions={"rapport": "0"}, sums=b"")
        old = await replayed(client, named)
    assert (gone.status_code, gone.json()["code"]) == (409, "rules_gone")
    assert (old.status_code, old.json()["code"]) == (409, "made_before_replay")


async def test_nothing_about_an_erased_person_is_replayed(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        named = (await decide(client))["decision_id"]
        rig.clock.at += 1000
        await erase(client)
        for key in (ADMIN, "auditor-key"):
            answer = await client.post(f"/v1/decisions/{named}/replay", headers={"X-API-Key": key})
            assert (answer.status_code, answer.json()["code"]) == (410, "erased")
