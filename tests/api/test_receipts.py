"""The history of a person's choices, the receipt, and what restriction, objection and expiry do to use."""

from typing import Any

import httpx
import msgspec

from engine.ports import People, PersonView
from tests.api.seed import ANN, decide, grant, seed
from tests.api.world import ADMIN, NOW, WRITE, Rig

PATH = f"/v1/profiles/{ANN}/consent"
DAY = 86_400_000


def status(body: dict[str, Any], purpose: str) -> str:
    return str(body["purposes"][purpose]["status"])


async def test_every_choice_is_in_the_history_newest_first(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "marketing")
    rig.clock.at += 1000
    named = {"purposes": {"marketing": False}, "source": "letter", "text_version": "2026-01"}
    await client.patch(PATH, json=named)
    body = (await client.get(f"{PATH}/history")).json()
    assert [(said["purposes"], said["who"], said["how"]) for said in body["history"]] == [
        ({"marketing": "withdrawn"}, "first-admin", "request"),
        ({"marketing": "withdrawn"}, "first-admin", "request"),
        ({"marketing": "granted"}, "first-admin", "request"),
    ]
    newest = body["history"][0]
    assert (newest["sources"], newest["text_versions"]) == ({"marketing": "letter"}, {"marketing": "2026-01"})
    assert newest["jurisdiction"] == "GDPR"
    assert {said["identifier"] for said in body["history"][:2]} == {rig.id_of(ANN), rig.id_of("email:ann@example.org")}


async def test_the_history_comes_in_pages(client: httpx.AsyncClient) -> None:
    for answer in (False, True, False):
        tag = (await client.get(PATH)).headers["etag"]
        await client.patch(PATH, json={"preferences": {"sms": {"all": answer}}}, headers={"If-Match": tag})
    whole = (await client.get(f"{PATH}/history")).json()["history"]
    first = (await client.get(f"{PATH}/history", params={"limit": 4})).json()
    second = (await client.get(f"{PATH}/history", params={"limit": 4, "before": first["next"]})).json()
    assert first["history"] + second["history"] == whole
    assert second["next"] is None


async def test_what_an_event_said_is_in_the_history(rig: Rig, client: httpx.AsyncClient) -> None:
    consent = {"consent": {"categoryPreferences": {"marketing": False}}}
    async with rig.client() as writer:
        await writer.post("/v1/page", json={"userId": "u-1", "name": "Home", "context": consent}, auth=(WRITE, ""))
    said = (await client.get(f"{PATH}/history")).json()["history"]
    assert {(one["how"], one["who"]) for one in said} == {("event", "shop")}


async def test_a_receipt_names_purposes_parties_and_events(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "marketing")
    answer = await client.get(f"{PATH}/receipt")
    assert answer.headers["content-type"] == "application/ld+json"
    body = answer.json()
    assert body["@context"]["dpv"] == "https://w3id.org/dpv#"
    assert body["record"]["pii_principal_id"] == rig.id_of(ANN)
    assert (body["schema_version"], bool(body["receipt_id"])) == ("ISO/IEC TS 27560:2023", True)
    processing = {one["purpose_name"]: one for one in body["processing"]}
    assert processing["marketing"]["purpose"] == "dpv:DirectMarketing"
    assert (processing["marketing"]["status"], processing["marketing"]["allowed"]) == ("dpv:ConsentGiven", True)
    assert processing["service"]["legal_basis"] == "dpv:Contract"
    mandatory = (
        "storage_locations", "retention_period", "jurisdiction", "recipient_third_parties", "withdrawal_method",
        "pii_type",
    )  # fmt: skip
    assert all(name in one for one in processing.values() for name in mandatory)
    assert {"id", "address", "name", "contact", "@type"} <= body["parties"][0].keys()
    (event,) = body["events"]
    assert (event["event_state"], event["entity_id"], event["validity_duration"]) == (
        "dpv:ConsentGiven",
        "first-admin",
        "P730D",
    )
    assert (event["event_time"], event["event_type"]) == ("2026-09-21T14:13:20.000Z", "explicit")


async def test_who_never_said_anything_has_an_empty_receipt(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/profiles/user_id:never-seen/consent/receipt")).json()
    assert body["events"] == []
    assert (await client.get("/v1/profiles/user_id:never-seen/consent/history")).json() == {"history": [], "next": None}


async def test_who_may_read_the_ledger(rig: Rig) -> None:
    expected_of = {None: 401, WRITE: 403, "engineer-key": 403, "auditor-key": 200, "preference-key": 200}
    for key, expected in expected_of.items():
        async with rig.client(key) as client:
            for what in ("history", "receipt"):
                assert (await client.get(f"{PATH}/{what}")).status_code == expected


async def test_which_jurisdiction_applies_is_said_with_its_rule(client: httpx.AsyncClient) -> None:
    body = (await client.get(PATH)).json()
    assert (body["jurisdiction"], body["jurisdiction_rule"]) == ("GDPR", "country")
    tag = (await client.get(PATH)).headers["etag"]
    body = (await client.patch(PATH, json={"jurisdiction": "US-CA"}, headers={"If-Match": tag})).json()
    assert (body["jurisdiction"], body["jurisdiction_rule"]) == ("US-CA", "stated")
    unknown = (await client.get("/v1/profiles/user_id:never-seen/consent")).json()
    assert (unknown["jurisdiction"], unknown["jurisdiction_rule"]) == ("strict", "default")


async def test_restricted_data_is_kept_and_not_used(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "marketing", "personalization")
    before = await decide(client)
    assert before["actions"]
    stopped = await client.patch(PATH, json={"restricted": True})
    assert (stopped.status_code, stopped.json()["restricted"]) == (200, True)
    after = await decide(client)
    assert (after["actions"], after["consent"]["purposes_used"]) == ([], [])
    seen = (await client.get(f"/v1/profiles/{ANN}")).json()
    assert (seen["traits"], seen["identifiers"]) == ({}, [])
    assert rig.state.stored
    assert (await client.patch(PATH, json={"restricted": False})).status_code == 428
    tag = (await client.get(PATH)).headers["etag"]
    assert (await client.patch(PATH, json={"restricted": False}, headers={"If-Match": tag})).status_code == 200
    assert len((await decide(client))["actions"]) == len(before["actions"])


async def test_an_old_yes_expires_and_can_be_given_again(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "personalization")
    rig.clock.at = NOW + 731 * DAY
    assert status((await client.get(PATH)).json(), "personalization") == "expired"
    assert "personalization" not in (await decide(client))["consent"]["purposes_used"]
    await grant(client, "personalization")
    assert status((await client.get(PATH)).json(), "personalization") == "granted"


async def test_objecting_to_marketing_ends_profiling_whatever_was_said_about_it() -> None:
    rig = Rig()
    purposes = rig.configuration.current.purposes
    marketing = msgspec.structs.replace(purposes.purposes["marketing"], basis="legitimate_interests")
    changed = msgspec.structs.replace(purposes, purposes={**purposes.purposes, "marketing": marketing})
    rig.configuration.current = msgspec.structs.replace(rig.configuration.current, purposes=changed)
    await seed(rig)
    async with rig.client(ADMIN) as client:
        await grant(client, "profiling")
        body = (await client.patch(PATH, json={"purposes": {"marketing": False}})).json()
        assert (status(body, "marketing"), status(body, "profiling")) == ("objected", "objected")
        await grant(client, "profiling")
        assert status((await client.get(PATH)).json(), "profiling") == "objected"


class Late:
    """People, of whom one is read as it stood before."""

    def __init__(self, stale: PersonView, people: People) -> None:
        self._stale = stale
        self.people = people.people

    async def person(self, _identity: str) -> PersonView:
        return self._stale


async def test_of_two_who_read_the_same_only_one_widens(rig: Rig, client: httpx.AsyncClient) -> None:
    """The condition is part of the write: what changed after the request was read stops it there."""
    tag = (await client.get(PATH)).headers["etag"]
    people = rig.world.people
    stale = await people.person(rig.id_of(ANN))
    await client.patch(PATH, json={"purposes": {"marketing": False}})

    object.__setattr__(rig.world, "people", Late(stale, people))
    answer = await client.patch(PATH, json={"purposes": {"marketing": True}}, headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["code"]) == (412, "stale_version")
    object.__setattr__(rig.world, "people", people)
    assert status((await client.get(PATH)).json(), "marketing") == "denied"
