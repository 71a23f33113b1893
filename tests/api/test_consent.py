"""Consent over HTTP: what widens is guarded, what narrows always goes through, and both hold at once."""

from typing import Any

import httpx
import pytest

from api.answers import iso
from engine.events import CONSENT_CHANGED
from tests.api.seed import ANN, decide, grant
from tests.api.world import AGENT, NOW, WRITE, Rig

PATH = f"/v1/profiles/{ANN}/consent"
NEW = "/v1/profiles/user_id:never-seen/consent"


def status(body: dict[str, Any], purpose: str) -> str:
    return str(body["purposes"][purpose]["status"])


async def test_a_reference_never_seen_has_consent_but_no_profile(client: httpx.AsyncClient) -> None:
    answer = await client.get(NEW)
    assert answer.status_code == 200
    asked = {n: p["status"] for n, p in answer.json()["purposes"].items() if p["basis"] == "consent"}
    assert set(asked.values()) == {"not_asked"}
    assert answer.json()["jurisdiction"] == "strict"
    assert (await client.get("/v1/profiles/user_id:never-seen")).status_code == 404


async def test_consent_of_somebody_never_seen_counts_in_the_next_decision(client: httpx.AsyncClient) -> None:
    before = await decide(client, "user_id:never-seen")
    await grant(client, "personalization", ref="user_id:never-seen")
    after = await decide(client, "user_id:never-seen")
    assert len(after["consent"]["features_masked"]) < len(before["consent"]["features_masked"])


async def test_widening_needs_to_know_what_it_changes(client: httpx.AsyncClient) -> None:
    body = {"purposes": {"marketing": True}}
    none = await client.patch(PATH, json=body)
    assert (none.status_code, none.json()["code"]) == (428, "precondition_required")
    stale = await client.patch(PATH, json=body, headers={"If-Match": '"of yesterday"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
    current = stale.headers["etag"]
    weak = await client.patch(PATH, json=body, headers={"If-Match": f"W/{current}"})
    assert weak.status_code == 412
    done = await client.patch(PATH, json=body, headers={"If-Match": current})
    assert (done.status_code, status(done.json(), "marketing")) == (200, "granted")
    assert done.headers["etag"] == (await client.get(PATH)).headers["etag"] != current


async def test_a_repeated_yes_does_not_undo_a_withdrawal_made_meanwhile(
    rig: Rig, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It widens nothing onto what it read, and its clock is ahead of the withdrawal's."""
    await grant(client, "marketing")
    write, no = rig.world.consents.write, {"purposes": {"marketing": False}}

    async def late(changes: Any, told: Any) -> Any:
        monkeypatch.undo()
        assert (await client.patch(PATH, json=no)).status_code == 200
        rig.clock.at += 1
        return await write(changes, told)

    monkeypatch.setattr(rig.world.consents, "write", late)
    again = await client.patch(PATH, json={"purposes": {"marketing": True}, "text_version": "another"})
    assert (again.status_code, again.json()["code"]) == (428, "precondition_required")
    assert status((await client.get(PATH)).json(), "marketing") == "withdrawn"


@pytest.mark.parametrize("headers", [{}, {"If-Match": '"of yesterday"'}])
async def test_nothing_blocks_a_withdrawal(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    await grant(client, "marketing")
    answer = await client.patch(PATH, json={"purposes": {"marketing": False}}, headers=headers)
    assert (answer.status_code, status(answer.json(), "marketing")) == (200, "withdrawn")


async def test_a_withdrawal_is_written_under_every_identifier(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "marketing")
    await client.patch(PATH, json={"purposes": {"marketing": False}})
    for ref in ("user_id:u-1", "email:ann@example.org"):
        assert [s.status for s in rig.state.held[rig.id_of(ref)].statements["marketing"]] == ["withdrawn"]


async def test_a_grant_covers_the_members_and_replaces_their_refusals(rig: Rig, client: httpx.AsyncClient) -> None:
    await client.patch(PATH, json={"purposes": {"marketing": False}})
    await grant(client, "marketing")
    held = rig.state.held[rig.id_of(ANN)].statements["marketing"]
    assert set(held[0].covers) == {rig.id_of("user_id:u-1"), rig.id_of("email:ann@example.org")}
    for ref in (ANN, "email:ann@example.org"):
        assert status((await client.get(f"/v1/profiles/{ref}/consent")).json(), "marketing") == "granted"


async def test_unlinking_after_a_withdrawal_widens_nothing(client: httpx.AsyncClient) -> None:
    await grant(client, "marketing")
    await client.patch(PATH, json={"purposes": {"marketing": False}})
    await client.post("/v1/profiles/unlink", json={"left": ANN, "right": "email:ann@example.org"})
    for ref in (ANN, "email:ann@example.org"):
        assert status((await client.get(f"/v1/profiles/{ref}/consent")).json(), "marketing") == "withdrawn"


async def test_an_unchanged_answer_is_no_statement(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "marketing")
    before = dict(rig.state.held)
    for body in ({"purposes": {"marketing": True}}, {"purposes": {"service": True}}):
        assert (await client.patch(PATH, json=body)).status_code == 200
    assert rig.state.held == before
    await client.patch(PATH, json={"purposes": {"marketing": False}})
    document = (await client.get(PATH)).json()
    refused = dict(rig.state.held)
    assert (await client.put(PATH, json=document)).json() == document
    assert rig.state.held == refused


async def test_a_no_is_said_again_each_time_it_is_said(rig: Rig, client: httpx.AsyncClient) -> None:
    """A yes that was said in between, and comes late, does not outlast it."""
    await grant(client, "marketing")
    for after in (0, 2000):
        rig.clock.at += after
        no = {"purposes": {"marketing": False}, "preferences": {"email": {"all": False}}}
        assert status((await client.patch(PATH, json=no)).json(), "marketing") == "withdrawn"
    rows = await rig.world.consents.history([rig.id_of(ANN)])
    assert [row.change.preferences for row in rows if row.change][-2:] == [{"email": {"all": False}}] * 2
    late = {"consent": {"categoryPreferences": {"marketing": True}}}
    told = {"userId": "u-1", "event": CONSENT_CHANGED, "context": late, "timestamp": iso(rig.clock.at - 1000)}
    rig.clock.at += 1000
    await client.post("/v1/track", json=told, auth=(WRITE, ""))
    assert status((await client.get(PATH)).json(), "marketing") == "withdrawn"


async def test_a_document_as_it_was_read_states_nothing(rig: Rig, client: httpx.AsyncClient) -> None:
    document = (await client.get(PATH)).json()
    assert document["jurisdiction_rule"] != "stated"
    assert (await client.put(PATH, json=document)).json() == document
    assert rig.state.ledger == []


@pytest.mark.parametrize(
    "body",
    [{"marketing": False}, {"purpose": {"marketing": False}}, {"frequncy": "1/7d"}, {"ann@example.org": 1}],
)
async def test_a_withdrawal_that_is_spelt_wrongly_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    for answer in (await client.patch(PATH, json=body), await client.put(PATH, json=body)):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
        assert not any(name in answer.text for name in body)
    bogus = await client.put(PATH, json={"purposes": {"analytics": {"status": "bogus"}}})
    assert bogus.status_code == 422


async def test_a_purpose_on_contract_cannot_be_withdrawn(client: httpx.AsyncClient) -> None:
    for answer in (
        await client.patch(PATH, json={"purposes": {"service": False}}),
        await client.put(PATH, json={"purposes": {"service": False}}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "basis_contract")
        assert "service" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status_code", "code"),
    [
        ({"purposes": {"world_domination": False}}, 400, "unknown_purpose"),
        ({"preferences": {"pigeon": {"all": False}}}, 400, "unknown_channel"),
        ({"preferences": {"email": {"": False}}}, 400, "invalid_topic"),
        ({"time_zone": "Europe/Atlantis"}, 400, "unknown_time_zone"),
        ({"time_zone": "Europe/Berlin,"}, 400, "unknown_time_zone"),
        ({"time_zone": "Europe/Berlin, Europe/Atlantis"}, 400, "unknown_time_zone"),
        ({"jurisdiction": "Atlantis"}, 422, "invalid_body"),
        ({"purposes": {"marketing": "perhaps"}}, 422, "invalid_body"),
        ({"purposes": []}, 422, "invalid_body"),
    ],
)
async def test_what_cannot_be_said_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], status_code: int, code: str
) -> None:
    answer = await client.patch(PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status_code, code)


async def test_other_is_no_channel_to_choose_and_one_that_is_kept(client: httpx.AsyncClient) -> None:
    answer = await client.patch(PATH, json={"preferences": {"pigeon": {"all": False}}})
    assert answer.json()["detail"].endswith("email, sms, voice, whatsapp, push, chat, web")
    kept = await client.patch(PATH, json={"preferences": {"other": {"all": False}}})
    back = await client.put(PATH, json=kept.json(), headers={"If-Match": kept.headers["etag"]})
    assert back.json()["preferences"]["other"] == {"all": False}


async def test_preferences_narrow_freely_and_widen_guarded(client: httpx.AsyncClient) -> None:
    await grant(client, "marketing", "personalization", "profiling")
    assert "preference" not in {b["rule"] for b in (await decide(client, placement="email"))["blocked"]}
    refused = await client.patch(PATH, json={"preferences": {"email": {"all": False}}})
    assert refused.json()["preferences"] == {"email": {"all": False}}
    body = await decide(client, placement="email")
    assert "preference" in {b["rule"] for b in body["blocked"]}
    assert body["actions"] == []
    wider = {"preferences": {"email": {"all": True}}}
    assert (await client.patch(PATH, json=wider)).status_code == 428
    tag = refused.headers["etag"]
    assert (await client.patch(PATH, json=wider, headers={"If-Match": tag})).status_code == 200


async def test_a_jurisdiction_that_opens_defaults_is_widening(client: httpx.AsyncClient) -> None:
    assert (await client.patch(PATH, json={"jurisdiction": "US"})).status_code == 428
    stricter = await client.patch(PATH, json={"jurisdiction": "strict", "time_zone": "Europe/Berlin", "language": "de"})
    assert stricter.status_code == 200
    assert stricter.json()["time_zone"] == "Europe/Berlin"
    both = await client.patch(PATH, json={"time_zone": "Europe/Berlin, America/Denver,Europe/Berlin"})
    assert both.json()["time_zone"] == "America/Denver,Europe/Berlin"
    for fewer in ("Europe/Berlin", ""):
        assert (await client.patch(PATH, json={"time_zone": fewer})).status_code == 428
    german = await decide(client, "email:ann@example.org")
    assert german["policy"]["languages"][0] == "de"


async def test_a_whole_document_withdraws_what_it_does_not_name(client: httpx.AsyncClient) -> None:
    await grant(client, "marketing", "personalization")
    await client.patch(PATH, json={"purposes": {"advertising": False}})
    answer = await client.put(PATH, json={"purposes": {"personalization": True}})
    assert answer.status_code == 200
    body = answer.json()
    assert status(body, "personalization") == "granted"
    assert status(body, "marketing") == "withdrawn"
    assert status(body, "advertising") == "denied"
    assert status(body, "analytics") == "not_asked"


async def test_putting_back_what_was_read_changes_nothing(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "marketing")
    await client.patch(PATH, json={"purposes": {"advertising": False}, "preferences": {"sms": {"all": False}}})
    read = await client.get(PATH)
    before = dict(rig.state.held)
    body = {name: read.json()[name] for name in ("purposes", "preferences")}
    answer = await client.put(PATH, json=body)
    assert (answer.status_code, answer.json()) == (200, read.json())
    assert rig.state.held == before


async def test_source_and_text_version_are_kept(rig: Rig, client: httpx.AsyncClient) -> None:
    named = {"purposes": {"marketing": False}, "source": "letter", "text_version": "2026-01"}
    body = (await client.patch(PATH, json=named)).json()
    assert body["purposes"]["marketing"]["source"] == "letter"
    assert rig.state.held[rig.id_of(ANN)].statements["marketing"][0].text_version == "2026-01"
    mine = (await client.patch(PATH, json={"purposes": {"analytics": False}})).json()
    assert mine["purposes"]["analytics"]["source"] == "first-admin"


async def test_a_later_act_is_later_even_where_the_clock_ran_ahead(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.clock.at = NOW + 5000
    await client.patch(PATH, json={"purposes": {"marketing": False}})
    rig.clock.at = NOW
    await grant(client, "marketing")
    assert status((await client.get(PATH)).json(), "marketing") == "granted"
    await client.patch(PATH, json={"purposes": {"marketing": False}})
    assert status((await client.get(PATH)).json(), "marketing") == "withdrawn"


async def test_an_old_cookie_does_not_grant_again_what_was_withdrawn(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "personalization")
    await client.patch(PATH, json={"purposes": {"personalization": False}})
    consent = {"consent": {"categoryPreferences": {"personalization": True}}}
    async with rig.client() as writer:
        await writer.post("/v1/page", json={"userId": "u-1", "name": "Home", "context": consent}, auth=(WRITE, ""))
    assert status((await client.get(PATH)).json(), "personalization") == "withdrawn"


async def test_who_may_read_and_write(rig: Rig) -> None:
    narrowing = {"purposes": {"marketing": False}}
    for key, reads, writes in [
        (None, 401, 401), (WRITE, 403, 403), ("auditor-key", 200, 403), ("engineer-key", 200, 403),
        ("preference-key", 200, 200), (AGENT, 200, 200),
    ]:  # fmt: skip
        async with rig.client(key) as client:
            assert (await client.get(PATH)).status_code == reads
            assert (await client.patch(PATH, json=narrowing)).status_code == writes


async def test_unchanged_consent_is_not_sent_twice(client: httpx.AsyncClient) -> None:
    tag = (await client.get(PATH)).headers["etag"]
    assert tag.startswith('"')
    assert (await client.get(PATH, headers={"If-None-Match": tag})).status_code == 304


async def test_the_persons_own_quiet_hours_and_frequency_hold_contacts_back(client: httpx.AsyncClient) -> None:
    await grant(client, "marketing", "personalization", "profiling")
    for wish, rule in (({"quiet_hours": "00:00-24:00"}, "quiet_hours"), ({"frequency": "0/7d"}, "frequency")):
        said = await client.patch(PATH, json=wish)
        assert said.status_code == 200
        assert {name: said.json()[name] for name in wish} == wish
        body = await decide(client, placement="email")
        assert body["actions"] == []
        assert rule in {blocked["rule"] for blocked in body["blocked"]}
        assert (await decide(client))["actions"]
        assert (await client.patch(PATH, json=dict.fromkeys(wish, ""))).status_code == 428
        tag = (await client.get(PATH)).headers["etag"]
        lifted = await client.patch(PATH, json=dict.fromkeys(wish, ""), headers={"If-Match": tag})
        assert lifted.json()["quiet_hours" if "quiet_hours" in wish else "frequency"] is None


@pytest.mark.parametrize("hours", ["21:00-08:00", "09:30-24:00", "20:00-23:59", "12:00-14:00,21:00-08:00"])
async def test_hours_of_the_whole_day_can_be_quiet(client: httpx.AsyncClient, hours: str) -> None:
    answer = await client.patch(PATH, json={"quiet_hours": hours})
    assert (answer.status_code, answer.json()["quiet_hours"]) == (200, hours)


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        *(("quiet_hours", no, "hours like `21:00-08:00`") for no in ("24:00-08:00", "00:00-29:59", "21-8", "21:00")),
        ("frequency", "often", "like `2/7d`"),
        ("jurisdiction", "Mars", "`GDPR`, `US`, one of its states like `US-CA`, or `strict`"),
        ("language", "German", "a language tag like `de`"),
    ],
)
async def test_what_does_not_fit_is_said_in_words(client: httpx.AsyncClient, name: str, said: str, words: str) -> None:
    answer = await client.patch(PATH, json={name: said})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


async def test_a_channel_refused_for_one_topic_stays_open_for_others(client: httpx.AsyncClient) -> None:
    for channel in ("email", "sms", "voice", "whatsapp", "push", "chat", "web"):
        answer = await client.patch(PATH, json={"preferences": {channel: {"offers": False}}})
        assert answer.json()["preferences"][channel] == {"offers": False}


async def test_handing_a_document_back_is_no_new_yes(rig: Rig, client: httpx.AsyncClient) -> None:
    """A nightly copy of what was read must not keep a yes alive that nobody gave again."""
    tag = (await client.get(PATH)).headers["etag"]
    said = {"purposes": {"marketing": True}, "text_version": "2026-01", "jurisdiction": "GDPR"}
    assert (await client.patch(PATH, json=said, headers={"If-Match": tag})).status_code == 200
    rows = len(rig.state.ledger)
    rig.clock.at += 700 * 86_400_000
    shown = (await client.get(PATH)).json()
    again = {"purposes": shown["purposes"], "jurisdiction": "GDPR", "text_version": "2026-01"}
    assert (await client.put(PATH, json=again)).status_code == 200
    assert len(rig.state.ledger) == rows
    rig.clock.at += 31 * 86_400_000
    assert (await client.get(PATH)).json()["purposes"]["marketing"]["status"] == "expired"
