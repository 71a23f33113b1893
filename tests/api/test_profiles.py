"""Profiles over HTTP: by any reference, through the gate, with provenance, linked and unlinked."""

import httpx
import pytest

from tests.api.seed import ANN, grant
from tests.api.world import AGENT, WRITE, Rig


async def test_a_profile_is_the_merge_of_what_is_known(rig: Rig, client: httpx.AsyncClient) -> None:
    body = (await client.get(f"/v1/profiles/{ANN}")).json()
    assert body["profile_id"] == rig.id_of(ANN)
    assert [(i["type"], i["value"]) for i in body["identifiers"]] == [("user_id", "u-1"), ("email", "ann@example.org")]
    assert body["traits"]["plan"] == "premium"
    assert body["signals"]["purchases_total"] == 1.0
    assert body["signals"]["contacts_voice_1d"] == 1.0
    assert [issue["topic"] for issue in body["issues"]] == ["invoice"]
    assert body["consent"]["purposes"]["personalization"]["status"] == "not_asked"
    assert body["updated_at"]


@pytest.mark.parametrize(
    "ref", ["user_id:u-1", "email:ANN@example.org", "email:ann@example.org", "profile_id:{id}", "user_id: u-1 "]
)
async def test_any_reference_leads_to_the_same_person(rig: Rig, client: httpx.AsyncClient, ref: str) -> None:
    named = ref.format(id=rig.id_of(ANN))
    in_path = await client.get(f"/v1/profiles/{named}")
    in_body = await client.post("/v1/profiles/lookup", json={"profile": named})
    assert in_path.json() == in_body.json()
    assert in_path.json()["profile_id"] == rig.id_of(ANN)


@pytest.mark.parametrize(
    ("ref", "status", "code"),
    [
        ("user_id:stranger-77", 404, "unknown_profile"),
        ("nonsense", 400, "invalid_reference"),
        ("email:nonsense", 400, "invalid_reference"),
        ("profile_id:nonsense", 400, "invalid_reference"),
        ("user_id:null", 400, "invalid_reference"),
    ],
)
async def test_a_reference_that_leads_nowhere_says_why(
    client: httpx.AsyncClient, ref: str, status: int, code: str
) -> None:
    for answer in (
        await client.get(f"/v1/profiles/{ref}"),
        await client.get(f"/v1/profiles/{ref}/events"),
        await client.post("/v1/profiles/lookup", json={"profile": ref}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert ref not in answer.text


async def test_restricted_data_is_named_as_such_with_the_purposes(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/v1/profiles/{ANN}")).json()["consent"]["restricted"] is False
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"restricted": True})
    body = (await client.get(f"/v1/profiles/{ANN}")).json()
    assert (body["consent"]["restricted"], body["traits"], body["identifiers"]) == (True, {}, [])


async def test_traits_of_a_closed_purpose_stay_out_until_it_opens(client: httpx.AsyncClient) -> None:
    before = (await client.get(f"/v1/profiles/{ANN}")).json()
    assert "segment" not in before["traits"]
    assert "trait:segment" in before["masked"]
    await grant(client, "personalization")
    after = (await client.get(f"/v1/profiles/{ANN}")).json()
    assert after["traits"]["segment"] == "family"


async def test_what_is_masked_does_not_say_by_which_category(rig: Rig, client: httpx.AsyncClient) -> None:
    async with rig.client() as writer:
        for category in ("hiv_meds", "a@b"):
            viewed = {"userId": "u-1", "event": "Product Viewed", "properties": {"category": category}}
            await writer.post("/v1/track", json=viewed, auth=(WRITE, ""))
    masked = (await client.get(f"/v1/profiles/{ANN}")).json()["masked"]
    assert [name for name in masked if "@" in name] == ["signal:purchases@…", "signal:views@…"]
    assert masked == sorted(set(masked))
    assert "signal:product_views" in masked
    await grant(client, "personalization")
    assert not [name for name in (await client.get(f"/v1/profiles/{ANN}")).json()["masked"] if "@" in name]


async def test_a_key_sees_what_its_purposes_reach(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "personalization", "analytics")
    async with rig.client("preference-key") as narrow, rig.client(AGENT) as agent:
        seen = (await narrow.get(f"/v1/profiles/{ANN}")).json()
        more = (await agent.get(f"/v1/profiles/{ANN}")).json()
    assert seen["purposes"] == ["service"]
    assert "segment" not in seen["traits"]
    assert more["purposes"] == ["personalization", "service"]
    assert "segment" in more["traits"]
    assert "page_views_1d" not in more["signals"]


async def test_provenance_names_the_event_each_trait_came_from(client: httpx.AsyncClient) -> None:
    plain = (await client.get(f"/v1/profiles/{ANN}")).json()
    body = (await client.get(f"/v1/profiles/{ANN}", params={"explain": "traits"})).json()
    assert "provenance" not in plain
    assert body["provenance"].keys() == body["traits"].keys()
    assert {origin["source"] for origin in body["provenance"].values()} == {"shop"}
    event = body["provenance"]["plan"]["event"]
    timeline = (await client.get(f"/v1/profiles/{ANN}/events")).json()["events"]
    assert event in {e["id"] for e in timeline if e["kind"] == "identify"}


async def test_an_unchanged_profile_is_not_sent_twice(client: httpx.AsyncClient) -> None:
    first = await client.get(f"/v1/profiles/{ANN}")
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    unchanged = await client.get(f"/v1/profiles/{ANN}", headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    await grant(client, "personalization")
    changed = await client.get(f"/v1/profiles/{ANN}", headers={"If-None-Match": tag})
    assert changed.status_code == 200


async def test_the_timeline_pages_from_newest_to_oldest(client: httpx.AsyncClient) -> None:
    whole = (await client.get(f"/v1/profiles/{ANN}/events")).json()
    assert whole["next"] is None
    found, cursor = [], None
    while True:
        params = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        page = (await client.get(f"/v1/profiles/{ANN}/events", params=params)).json()
        found += page["events"]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == whole["events"]
    assert [e["at"] for e in found] == sorted((e["at"] for e in found), reverse=True)


@pytest.mark.parametrize("cursor", ["x", "!!!!", "AAAA", "ä"])
async def test_a_cursor_that_is_none_of_ours_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get(f"/v1/profiles/{ANN}/events", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_page_views_are_hidden_from_the_timeline_without_their_purpose(
    rig: Rig, client: httpx.AsyncClient
) -> None:
    async with rig.client() as writer:
        await writer.post("/v1/page", json={"userId": "u-1", "name": "Prices"}, auth=(WRITE, ""))
    before = (await client.get(f"/v1/profiles/{ANN}/events")).json()["events"]
    assert "Prices" not in {e["name"] for e in before}
    await grant(client, "analytics")
    after = (await client.get(f"/v1/profiles/{ANN}/events")).json()["events"]
    assert "Prices" in {e["name"] for e in after}


async def test_linking_merges_and_unlinking_restores(rig: Rig, client: httpx.AsyncClient) -> None:
    async with rig.client() as writer:
        order = {"type": "track", "userId": "", "anonymousId": "a-9", "event": "Order Completed", "properties": {}}
        await writer.post("/v1/batch", json={"batch": [order]}, auth=(WRITE, ""))
    alone = (await client.get("/v1/profiles/anonymous_id:a-9")).json()
    pair = {"left": "anonymous_id:a-9", "right": f"profile_id:{rig.id_of(ANN)}", "reason": "same browser"}
    linked = await client.post("/v1/profiles/link", json=pair)
    assert linked.status_code == 200
    assert linked.json() == {"left": rig.id_of(ANN), "right": rig.id_of(ANN), "state": "done"}
    together = (await client.get("/v1/profiles/anonymous_id:a-9")).json()
    assert together["signals"]["purchases_total"] == 2.0
    parted = await client.post("/v1/profiles/unlink", json=pair)
    assert parted.status_code == 200
    assert parted.json()["left"] != parted.json()["right"]
    again = (await client.get("/v1/profiles/anonymous_id:a-9")).json()
    assert again["signals"]["purchases_total"] == alone["signals"]["purchases_total"] == 1.0


async def test_a_link_that_a_rule_forbids_stays_pending(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.links.LOOKS", 2)
    answer = await client.post("/v1/profiles/link", json={"left": ANN, "right": "user_id:u-2", "reason": "guess"})
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")


@pytest.mark.parametrize(
    ("left", "right", "status"),
    [
        (ANN, ANN, 400),
        (ANN, "nonsense", 400),
        (ANN, "profile_id:aaaaaaaaaaaaaaaa", 404),
    ],
)
async def test_what_cannot_be_linked_says_why(client: httpx.AsyncClient, left: str, right: str, status: int) -> None:
    answer = await client.post("/v1/profiles/link", json={"left": left, "right": right})
    assert answer.status_code == status


async def test_a_marketer_reads_but_links_nobody(rig: Rig) -> None:
    async with rig.client("marketer-key") as marketer:
        assert (await marketer.get(f"/v1/profiles/{ANN}")).status_code == 200
        assert (await marketer.post("/v1/profiles/link", json={"left": ANN, "right": "crm_id:7"})).status_code == 403
