"""Identity over HTTP: every way of saying who belongs together ends in links, links that gave way say what to do, and a
person's history tells who said what and what it did."""

from typing import Any

import httpx
import pytest

from tests.api.world import AGENT, WRITE, Rig

BOB = "user_id:bob"


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def send(rig: Rig, *items: dict[str, Any]) -> None:
    """Events by the front door, a second apart."""
    async with rig.client() as writer:
        for item in items:
            rig.clock.at += 1000
            answer = await writer.post("/v1/batch", json={"batch": [item]}, auth=(WRITE, ""))
            assert answer.json()["accepted"] == 1, answer.text


def seen(user: str = "", cookie: str = "", **more: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Something", "userId": user, "anonymousId": cookie, **more}


async def members(client: httpx.AsyncClient, ref: str) -> set[tuple[str, str]]:
    body = (await client.get(f"/v1/profiles/{ref}")).json()
    return {(i["type"], i["value"]) for i in body["identifiers"]}


DOORS: dict[str, list[dict[str, Any]]] = {
    "identify with two identifiers": [{"type": "identify", "userId": "u", "traits": {"email": "u@example.net"}}],
    "alias": [{"type": "alias", "userId": "u", "previousId": "c"}],
    "context.externalIds": [
        seen("u", context={"externalIds": [{"type": "crm_id", "id": "77", "collection": "users", "encoding": "none"}]})
    ],
    "merge": [
        {
            "type": "merge",
            "mergeProperties": [{"type": "user_id", "value": "u"}, {"type": "phone", "value": "+4930123456"}],
        }
    ],
    "userId and anonymousId": [seen("u", "c")],
}
OTHERS = {
    "identify with two identifiers": ("email", "u@example.net"),
    "alias": ("anonymous_id", "c"),
    "context.externalIds": ("crm_id", "77"),
    "merge": ("phone", "+4930123456"),
    "userId and anonymousId": ("anonymous_id", "c"),
}


@pytest.mark.parametrize("door", DOORS)
async def test_every_door_ends_in_a_link(rig: Rig, client: httpx.AsyncClient, door: str) -> None:
    await send(rig, seen("u"), *DOORS[door])
    kind, value = OTHERS[door]
    assert await members(client, f"{kind}:{value}") == {("user_id", "u"), (kind, value)}


async def test_a_blocked_value_names_nobody(rig: Rig, client: httpx.AsyncClient) -> None:
    board = {"type": "identify", "traits": {"phone": "(415) 555-0100", "email": "test@example.org"}}
    await send(rig, {**board, "userId": "u"}, {**board, "userId": "bob"})
    assert await members(client, BOB) == {("user_id", "bob")}
    assert (await client.get("/v1/identity/conflicts")).json()["conflicts"] == []


async def test_a_conflict_names_its_rule_and_what_to_do(rig: Rig, client: httpx.AsyncClient) -> None:
    await send(rig, seen("u", "kiosk"), seen("bob", "kiosk"))
    page = (await client.get("/v1/identity/conflicts")).json()
    (conflict,) = page["conflicts"]
    assert (page["total"], page["next"]) == (1, None)
    assert {end["type"] for end in (conflict["left"], conflict["right"])} == {"user_id", "anonymous_id"}
    assert {end["value"] for end in (conflict["left"], conflict["right"])} == {None}
    assert conflict["rule"] == "more_than_1_user_id"
    assert conflict["source"] == "shop"
    assert "unlink the pair" in conflict["what_to_do"]
    said = await client.post("/v1/profiles/unlink", json={**conflict["pair"], "reason": "a shop's browser"})
    assert said.status_code == 200, said.text
    assert (await client.get("/v1/identity/conflicts")).json()["conflicts"] == []
    assert await members(client, BOB) == {("user_id", "bob")}


async def test_conflicts_come_in_pages(rig: Rig, client: httpx.AsyncClient) -> None:
    await send(rig, *(seen(user, "kiosk") for user in ("u", "v", "w", "x")))
    whole = (await client.get("/v1/identity/conflicts")).json()["conflicts"]
    first = (await client.get("/v1/identity/conflicts", params={"limit": 2})).json()
    second = (await client.get("/v1/identity/conflicts", params={"limit": 2, "offset": first["next"]})).json()
    assert first["conflicts"] + second["conflicts"] == whole
    assert len(whole) == 3
    assert second["next"] is None


async def test_a_link_by_profile_id_is_counted_under_its_type(rig: Rig, client: httpx.AsyncClient) -> None:
    """Two accounts do not become one because their types were not written down."""
    await send(rig, seen("u"), seen("bob"))
    pair = {"left": f"profile_id:{rig.id_of('user_id:u')}", "right": f"profile_id:{rig.id_of(BOB)}"}
    answer = await client.post("/v1/profiles/link", json=pair)
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    assert await members(client, BOB) == {("user_id", "bob")}
    (conflict,) = (await client.get("/v1/identity/conflicts")).json()["conflicts"]
    assert conflict["rule"] == "more_than_1_user_id"


async def test_an_id_known_from_links_alone_can_be_named(rig: Rig, client: httpx.AsyncClient) -> None:
    """The cookie of a conflict has no events of its own."""
    await send(rig, seen("u", "kiosk"), seen("bob", "kiosk"))
    cookie = f"profile_id:{rig.id_of('anonymous_id:kiosk')}"
    for left in (BOB, "user_id:u"):
        answer = await client.post("/v1/profiles/unlink", json={"left": left, "right": cookie})
        assert answer.status_code == 200, answer.text
    assert await members(client, "user_id:u") == {("user_id", "u")}


async def test_a_shared_identifier_is_nobodys(rig: Rig, client: httpx.AsyncClient) -> None:
    await send(rig, seen("u"))
    answer = await client.post("/v1/profiles/link", json={"left": "user_id:u", "right": "device_id:tablet"})
    assert (answer.status_code, answer.json()["code"]) == (400, "shared_identifier")


async def test_nobody_knows_takes_a_link_back_without_keeping_apart(rig: Rig, client: httpx.AsyncClient) -> None:
    await send(rig, seen("u"), seen("", "c"))
    pair = {"left": "user_id:u", "right": "anonymous_id:c", "reason": "guess"}
    for path, together in (("link", True), ("unsure", False), ("link", True)):
        rig.clock.at += 1000
        answer = (await client.post(f"/v1/profiles/{path}", json=pair)).json()
        assert answer["state"] == "done"
        assert (answer["left"] == answer["right"]) is together


async def test_history_tells_who_said_what_and_what_it_did(rig: Rig, client: httpx.AsyncClient) -> None:
    await send(rig, seen("u", "c"), seen("bob", "c"))
    pair = {"left": "user_id:u", "right": "anonymous_id:c"}
    for path, reason in (("unlink", "another phone"), ("link", "it was hers"), ("unlink", "no, her son's")):
        rig.clock.at += 1000
        await client.post(f"/v1/profiles/{path}", json={**pair, "reason": reason})
    body = (await client.get("/v1/profiles/user_id:u/history")).json()
    assert [(v["verdict"], v["source"], v["reason"], v["effect"]["code"]) for v in body["verdicts"]] == [
        ("positive", "shop", "observed", "joined"),
        ("negative", "first-admin", "another phone", "parted"),
        ("positive", "first-admin", "it was hers", "joined"),
        ("negative", "first-admin", "no, her son's", "parted"),
    ]
    assert [v["at"] for v in body["verdicts"]] == sorted(v["at"] for v in body["verdicts"])
    ends = {(e["type"], e["value"]) for v in body["verdicts"] for e in (v["left"], v["right"])}
    assert ends == {("user_id", "u"), ("anonymous_id", None)}
    assert body["profile_id"] == rig.id_of("user_id:u")
    bob = (await client.get("/v1/profiles/user_id:bob/history")).json()["verdicts"]
    assert bob[-1]["effect"]["left_profile"] != bob[-1]["effect"]["right_profile"]
    assert ("gave_way", "more_than_1_user_id") in {(v["effect"]["code"], v["effect"]["rule"]) for v in bob}


async def test_history_comes_in_pages(rig: Rig, client: httpx.AsyncClient) -> None:
    await send(rig, *(seen("u", f"c{n}") for n in range(5)))
    whole = (await client.get("/v1/profiles/user_id:u/history")).json()
    found: list[dict[str, Any]] = []
    offset: int | None = 0
    while offset is not None:
        page = await client.get("/v1/profiles/user_id:u/history", params={"limit": 2, "offset": offset})
        found += page.json()["verdicts"]
        offset = page.json()["next"]
    assert found == whole["verdicts"]
    assert whole["total"] == 5


async def test_history_shows_no_more_than_the_keys_purposes(rig: Rig, client: httpx.AsyncClient) -> None:
    """A key that does not read for service sees that something was said, not the names and not the sentence."""
    await send(rig, seen("u", "c"))
    rig.clock.at += 1000
    said = {"left": "user_id:u", "right": "anonymous_id:c", "reason": "Mrs Example told me"}
    await client.post("/v1/profiles/link", json=said)
    rig.keys.add(await _key(rig, ("analytics",)), "narrow-key")
    async with rig.client("narrow-key") as narrow, rig.client(AGENT) as agent:
        hidden = await narrow.get("/v1/profiles/user_id:u/history")
        shown = (await agent.get("/v1/profiles/user_id:u/history")).json()["verdicts"]
    assert [v["reason"] for v in hidden.json()["verdicts"]] == ["observed", None]
    assert "Mrs Example" not in hidden.text
    assert {e["value"] for v in hidden.json()["verdicts"] for e in (v["left"], v["right"])} == {None}
    assert [v["reason"] for v in shown] == ["observed", "Mrs Example told me"]


async def _key(rig: Rig, purposes: tuple[str, ...]) -> Any:
    agent = await rig.keys.named("desk")
    assert agent is not None
    return type(agent)("narrow", "engineer", purposes)


async def test_a_strangers_history_is_none(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/profiles/user_id:nobody/history")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_profile")


async def test_a_marketer_does_not_see_conflicts(rig: Rig) -> None:
    async with rig.client("marketer-key") as marketer:
        assert (await marketer.get("/v1/identity/conflicts")).status_code == 403
