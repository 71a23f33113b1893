"""Outreach queues over HTTP: in order, with reasons, and never past consent or contact policy."""

from typing import Any

import httpx
import pytest

from api.answers import iso
from engine.ports import Entry, PersonView
from engine.signals import DAY
from models.outreach import queue_entries
from models.scorer import PriorModel
from models.serving import Setting
from tests.api.seed import ANN, decide, grant
from tests.api.world import NOW, Rig

NIGHT = 1_790_046_000_000  # 2026-09-22T03:00:00Z
REASONS = ({"code": "queue", "text": "Open issues that need a word from us"},)


def waiting(rig: Rig, ref: str, priority: float, **more: Any) -> Entry:
    said = {"queue": "complaint_follow_up", "channel": "voice", "action_id": "call_back", "due_at": NOW, **more}
    entry = Entry(rig.id_of(ref), priority=priority, reasons=REASONS, updated_at=NOW, **said)
    rig.queues.put(entry)
    return entry


def view_of(rig: Rig) -> PersonView:
    return rig.state.view(rig.id_of(ANN))


def setting_of(rig: Rig) -> Setting:
    current = rig.configuration.current
    return Setting(current.catalogue, current.purposes, PriorModel(), {})


def derived(rig: Rig) -> Entry:
    """Ann's line among the complaints, as the stream makes it now."""
    entries = queue_entries([view_of(rig)], setting_of(rig), rig.clock())
    return next(entry for entry in entries if entry.queue == "complaint_follow_up")


async def read(client: httpx.AsyncClient, queue: str = "complaint_follow_up", **params: int) -> dict[str, Any]:
    answer = await client.get(f"/v1/outreach/{queue}", params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_the_most_urgent_comes_first_with_its_reasons(rig: Rig, client: httpx.AsyncClient) -> None:
    waiting(rig, "user_id:low", 1.0)
    waiting(rig, ANN, 9.0)
    body = await read(client)
    assert [task["priority"] for task in body["tasks"]] == [9.0, 1.0]
    first = body["tasks"][0]
    assert first["task_id"] == f"complaint_follow_up.{rig.id_of(ANN)}"
    assert first["reasons"] == list(REASONS)
    assert first["due_at"] == "2026-09-21T14:13:20.000Z"
    assert first["lease_until"] is None
    assert body["total"] == 2


async def test_pages_follow_each_other(rig: Rig, client: httpx.AsyncClient) -> None:
    for number in range(5):
        waiting(rig, f"user_id:q-{number}", float(number))
    first = await read(client, limit=2)
    second = await read(client, limit=2, offset=first["next"])
    last = await read(client, limit=2, offset=second["next"])
    found = [task["priority"] for page in (first, second, last) for task in page["tasks"]]
    assert found == [4.0, 3.0, 2.0, 1.0, 0.0]
    assert last["next"] is None


async def test_who_wants_no_calls_is_left_out_at_once(rig: Rig, client: httpx.AsyncClient) -> None:
    waiting(rig, ANN, 9.0)
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"preferences": {"voice": {"all": False}}})
    body = await read(client)
    assert (body["tasks"], body["held_back"], body["total"]) == ([], 1, 1)


async def test_an_action_whose_purpose_is_closed_is_left_out(rig: Rig, client: httpx.AsyncClient) -> None:
    waiting(rig, ANN, 9.0, queue="retention", action_id="retention_offer")
    body = await read(client, "retention")
    assert (body["tasks"], body["held_back"]) == ([], 1)


async def test_who_reached_a_cap_is_left_out(rig: Rig, client: httpx.AsyncClient) -> None:
    waiting(rig, ANN, 9.0)
    for _ in range(3):
        made = await decide(client, placement="outbound_call")
        said = {
            "decision_id": made["decision_id"],
            "action_id": made["actions"][0]["action_id"],
            "outcome": "presented",
        }
        assert (await client.post("/v1/outcomes", json=said)).status_code == 200
    assert (await read(client))["held_back"] == 1


async def test_at_night_it_is_due_in_the_morning(rig: Rig, client: httpx.AsyncClient) -> None:
    waiting(rig, ANN, 9.0)
    rig.clock.at = NIGHT
    assert (await read(client))["tasks"][0]["due_at"] == "2026-09-22T08:00:00.000Z"


@pytest.mark.parametrize(
    ("said", "due"),
    [
        ({"quiet_hours": "19:00-09:00"}, "2026-09-22T09:00:00.000Z"),
        ({"quiet_hours": "13:00-15:00"}, "2026-09-22T08:00:00.000Z"),
        ({"time_zone": "America/New_York,Europe/Berlin"}, "2026-09-22T12:00:00.000Z"),
    ],
)
async def test_own_quiet_hours_move_the_due_time_too(
    rig: Rig, client: httpx.AsyncClient, said: dict[str, str], due: str
) -> None:
    assert (await client.patch(f"/v1/profiles/{ANN}/consent", json=said)).status_code == 200
    rig.clock.at = NIGHT
    made = derived(rig)
    assert iso(made.due_at) == due
    rig.queues.put(made)
    assert [task["due_at"] for task in (await read(client))["tasks"]] == [due]


async def test_who_wishes_for_no_hour_is_in_no_queue(rig: Rig, client: httpx.AsyncClient) -> None:
    waiting(rig, ANN, 9.0)
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"quiet_hours": "00:00-24:00"})
    assert ((await read(client))["tasks"], queue_entries([view_of(rig)], setting_of(rig), NOW)) == ([], [])


@pytest.mark.parametrize("expires", [True, False])
async def test_an_entry_that_rests_on_a_used_purpose_ends_with_it(
    rig: Rig, client: httpx.AsyncClient, expires: bool
) -> None:
    await grant(client, "personalization")
    rig.queues.put(derived(rig))
    assert len((await read(client))["tasks"]) == 1
    if expires:
        rig.clock.at += 731 * DAY
    else:
        await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"personalization": False}})
    assert ((await read(client))["tasks"], (await read(client))["held_back"]) == ([], 1)
    rig.queues.put(derived(rig))
    assert len((await read(client))["tasks"]) == 1


async def test_an_unknown_queue_is_not_found_and_the_known_ones_are_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/outreach/nonsense")
    assert answer.status_code == 404
    assert "retention" in answer.json()["detail"]


@pytest.mark.parametrize(("key", "status"), [("agent-key", 200), ("marketer-key", 200), ("auditor-key", 403)])
async def test_who_may_read_a_queue(rig: Rig, key: str, status: int) -> None:
    async with rig.client(key) as client:
        assert (await client.get("/v1/outreach/retention")).status_code == status
