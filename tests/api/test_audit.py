"""The audit of reads over HTTP: what leaves a line, what does not, and who may look."""

import re
from typing import Any

import httpx
import orjson
import pytest

from engine.ports import Entry, Unavailable
from tests.api.seed import ANN, decide, grant, seed
from tests.api.world import ADMIN, AGENT, NOW, Rig

ROWS = b"""{"profile": "user_id:u-1", "placement": "agent_desktop"}
{"profile": "user_id:nobody", "placement": "agent_desktop"}"""
FLAGS, WHO = "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": ANN}}


async def audit(rig: Rig, **wanted: Any) -> list[dict[str, Any]]:
    async with rig.client("auditor-key") as client:
        answer = await client.get("/v1/audit", params=wanted)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["reads"])


async def seeded() -> Rig:
    rig = Rig()
    await seed(rig)
    return rig


async def test_every_way_of_reading_a_person_leaves_one_line() -> None:
    rig = await seeded()
    rig.queues.put(Entry(rig.id_of(ANN), "complaint_follow_up", 9.0, "voice", "call_back", (), NOW, NOW))
    async with rig.client(ADMIN) as client:
        await grant(client, "personalization")
        rig.reads.kept.clear()
        made = (await decide(client))["decision_id"]
        ways: list[tuple[str, httpx.Response]] = [
            ("profile", await client.get(f"/v1/profiles/{ANN}")),
            ("profile", await client.post("/v1/profiles/lookup", json={"profile": ANN})),
            ("events", await client.get(f"/v1/profiles/{ANN}/events")),
            ("history", await client.get(f"/v1/profiles/{ANN}/history")),
            ("export", await client.get(f"/v1/profiles/{ANN}/export")),
            ("preference_link", await client.post(f"/v1/profiles/{ANN}/preference-link")),
            ("decision", await client.get(f"/v1/decisions/{made}")),
            ("replay", await client.post(f"/v1/decisions/{made}/replay", json={})),
            ("desk", await client.post("/desk/customer", json={"profile": ANN})),
            ("decision", await client.post("/desk/actions", json={"profile": ANN})),
            ("consent", await client.get(f"/v1/profiles/{ANN}/consent")),
            ("consent", await client.patch(f"/v1/profiles/{ANN}/consent", json={})),
            ("consent", await client.put(f"/v1/profiles/{ANN}/consent", json={})),
            ("consent_history", await client.get(f"/v1/profiles/{ANN}/consent/history")),
            ("consent_receipt", await client.get(f"/v1/profiles/{ANN}/consent/receipt")),
            ("outreach", await client.get("/v1/outreach/complaint_follow_up")),
        ]
    assert {answer.status_code for _, answer in ways} == {200}
    lines = await audit(rig)
    assert [line["what"] for line in lines[::-1]] == [what for what, _ in ways]
    assert {(line["who"], line["role"], line["profile_id"]) for line in lines} == {
        ("first-admin", "admin", rig.id_of(ANN))
    }


async def test_a_line_says_who_when_and_for_which_purposes() -> None:
    rig = await seeded()
    async with rig.client(AGENT) as client:
        await client.get(f"/v1/profiles/{ANN}")
    [line] = await audit(rig)
    assert line == {
        "at": "2026-09-21T14:13:20.000Z",
        "who": "desk",
        "role": "agent",
        "what": "profile",
        "purposes": ["service", "personalization"],
        "profile_id": rig.id_of(ANN),
    }


async def test_the_page_of_a_decision_leaves_a_line_too() -> None:
    rig = await seeded()
    async with rig.client() as client:
        async with rig.client(ADMIN) as admin:
            made = (await decide(admin))["decision_id"]
        await client.post("/sign-in", data={"key": AGENT, "next": f"/decision/{made}"})
        assert (await client.get(f"/decision/{made}")).status_code == 200
    assert [(line["what"], line["who"]) for line in await audit(rig)] == [("decision", "desk")]


async def test_a_decision_that_an_agent_asks_for_leaves_one_line() -> None:
    rig = await seeded()
    async with rig.client(AGENT) as client:
        await decide(client)
    [line] = await audit(rig, profile=ANN)
    assert (line["what"], line["who"], line["role"]) == ("decision", "desk", "agent")
    assert line["purposes"] == ["service", "personalization"]


async def test_a_decision_that_was_refused_leaves_no_line() -> None:
    rig = await seeded()
    async with rig.client(AGENT) as client:
        answer = await client.post("/v1/decisions", json={"profile": ANN, "placement": "nowhere"})
    assert answer.status_code == 400
    assert await audit(rig) == []


async def test_a_decision_that_a_machine_asks_for_leaves_no_line() -> None:
    rig = await seeded()
    for key in ("marketer-key", "engineer-key", ADMIN):
        async with rig.client(key) as client:
            await decide(client)
    async with rig.client("marketer-key") as client:
        assert (await client.post("/v1/decisions/bulk", content=ROWS)).status_code == 200
        assert (await client.post(FLAGS, json=WHO)).status_code == 200
        assert (await client.post(f"{FLAGS}/web", json=WHO)).status_code == 200
    assert await audit(rig) == []


@pytest.mark.parametrize(
    ("path", "sent"),
    [("/v1/decisions/bulk", {"content": ROWS}), (FLAGS, {"json": WHO}), (f"{FLAGS}/web", {"json": WHO})],
)
async def test_an_agent_s_key_leaves_a_line_for_bulk_and_for_flags_too(path: str, sent: Any) -> None:
    rig = await seeded()
    async with rig.client(AGENT) as client:
        answer = await client.post(path, **sent)
    assert (answer.status_code, "error" in answer.text) == (200, False)
    assert [(line["what"], line["who"]) for line in await audit(rig, profile=ANN)] == [("decision", "desk")]
    assert len(await audit(rig)) == 1


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/decisions", {"json": {"profile": ANN, "placement": "agent_desktop"}}),
        ("/v1/decisions/bulk", {"content": ROWS}),
        (FLAGS, {"json": WHO}),
        (f"{FLAGS}/web", {"json": WHO}),
    ],
)
async def test_what_cannot_be_noted_is_not_decided(path: str, sent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = await seeded()

    def full() -> None:
        raise Unavailable("the audit cannot be written")

    monkeypatch.setattr(rig.reads, "ready", full)
    before = len(list(rig.events()))
    async with rig.client(AGENT) as client:
        answer = await client.post(path, **sent)
    if path.endswith("bulk"):
        assert [orjson.loads(line)["error"]["code"] for line in answer.content.splitlines()] == ["unavailable"] * 2
    else:
        assert answer.status_code == 503
    assert len(list(rig.events())) == before


@pytest.mark.parametrize(("key", "who"), [(AGENT, "desk"), ("marketer-key", "campaigns"), (ADMIN, "first-admin")])
async def test_whoever_is_signed_in_at_the_desk_leaves_a_line_for_its_actions_too(key: str, who: str) -> None:
    rig = await seeded()
    async with rig.client() as page:
        await page.post("/sign-in", data={"key": key})
        token = re.search(r'name="csrf" content="([^"]+)"', (await page.get("/desk")).text)
        assert token
        headers = {"X-CSRF-Token": token.group(1)}
        asked = {"profile": ANN, "placement": "agent_desktop"}
        for path, body in (("/desk/actions", {"profile": ANN}), ("/v1/decisions", asked)):
            assert (await page.post(path, json=body, headers=headers)).status_code == 200
        assert (await page.post("/desk/actions", json={"profile": "user_id:no"}, headers=headers)).status_code == 200
    lines = await audit(rig)
    assert [(line["what"], line["who"], line["profile_id"]) for line in lines] == [
        ("decision", who, rig.id_of(ANN))
    ] * 2


async def test_what_reads_nobody_leaves_no_line() -> None:
    rig = await seeded()
    async with rig.client(AGENT) as client:
        for part in ("", "/consent", "/consent/history", "/consent/receipt"):
            await client.get(f"/v1/profiles/user_id:nobody{part}")
        await client.get("/v1/outreach/complaint_follow_up")
        await client.get("/v1/decisions/none")
        await decide(client, "user_id:nobody")
        await client.get("/v1/catalogue")
    async with rig.client("marketer-key") as client:
        assert (await client.get(f"/v1/profiles/{ANN}/export")).status_code == 403
    assert await audit(rig) == []


async def test_consent_of_somebody_never_seen_who_has_said_something_leaves_a_line() -> None:
    rig = Rig()
    async with rig.client(AGENT) as client:
        await client.patch("/v1/profiles/user_id:new/consent", json={"purposes": {"marketing": False}})
        await client.get("/v1/profiles/user_id:new/consent")
        said = {"profile": "user_id:new", "string": "DBABLA~BVQVAAAAAgA.YA"}
        assert (await client.post("/v1/consent/gpp", json=said)).status_code == 200
    lines = await audit(rig, profile="user_id:new")
    assert [(line["what"], line["who"]) for line in lines] == [("consent", "desk")] * 3


async def test_lines_are_found_by_person_and_by_key_page_by_page() -> None:
    rig = await seeded()
    for key in (AGENT, "marketer-key", AGENT):
        async with rig.client(key) as client:
            await client.get(f"/v1/profiles/{ANN}")
    assert len(await audit(rig, who="desk")) == 2
    assert len(await audit(rig, profile="email:ann@example.org")) == 3
    assert await audit(rig, profile="user_id:somebody-else") == []
    async with rig.client("auditor-key") as client:
        first = (await client.get("/v1/audit?limit=2")).json()
        second = (await client.get("/v1/audit", params={"limit": 2, "before": first["next"]})).json()
    assert [one["who"] for one in (*first["reads"], *second["reads"])] == ["desk", "campaigns", "desk"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("key", "expected"),
    [("auditor-key", 200), (ADMIN, 403), (AGENT, 403), ("engineer-key", 403), ("preference-key", 403), (None, 401)],
)
async def test_who_may_look(key: str | None, expected: int) -> None:
    async with Rig().client(key) as client:
        assert (await client.get("/v1/audit")).status_code == expected
