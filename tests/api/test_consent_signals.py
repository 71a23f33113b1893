"""Signals over HTTP: what a string, a browser's header or an event says counts, and counts only as far as it may."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
import pytest

from api.app import create_app
from engine.consent import Held, Statement
from engine.consent_signals import SignalRules, TcfRules
from engine.events import CONSENT_CHANGED
from engine.ports import PLAIN, Circumstances, ConsentChange
from infra.memory_ports import MemoryConsents
from tests.api.seed import ANN, grant, seed
from tests.api.world import ADMIN, AGENT, NOW, WRITE, Rig

# publisher segment: personalised content (1, 5, 6) agreed; made by the IAB's library with LastUpdated 2026-01-02
CONSENT = f"/v1/profiles/{ANN}/consent"
JANUARY = 1_767_312_000_000
VECTOR = "CQdZmkAQdZmkAAKACBENCWFoALIAAECAAAYgF5wAgAGALzAvOACAvMAA.IF5wAgAGALzA.cAAAAAAAAAAA"
# the same with 1, 5, 6, 8 in the publisher's segment
AGREED = "CQdZmkAQdZmkAAKACBENCWFoALIAAECAAAYgF5wAgAGALzAvOACAvMAA.IF5wAgAGALzA.caAAAAAAAAAA"
WITHOUT_PUBLISHER = "CQdZmkAQdZmkAAKACBENCWFoALIAAECAAAYgF5wAgAGALzAvOACAvMAA.IF5wAgAGALzA"
OPTED_OUT = "DBABLA~BVQVAAAAAgA.YA"
NOT_OPTED_OUT = "DBABLA~CFQqAAAAAACA.QA"


@pytest.fixture
async def rig() -> Rig:
    made = Rig()
    made.clock.at = JANUARY
    await seed(made)
    made.clock.at = JANUARY + 3_600_000
    return made


async def post(client: httpx.AsyncClient, kind: str, string: str, **headers: str) -> httpx.Response:
    body = {"profile": ANN, "string": string}
    return await client.post(
        f"/v1/consent/{kind}", json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


async def statuses(client: httpx.AsyncClient, ref: str = ANN) -> dict[str, str]:
    answer = await client.get(f"/v1/profiles/{ref}/consent")
    return {name: purpose["status"] for name, purpose in answer.json()["purposes"].items()}


async def track(rig: Rig, event: dict[str, Any], **headers: str) -> None:
    sent = {k.replace("_", "-"): v for k, v in headers.items()}
    async with rig.client() as client:
        answer = await client.post("/v1/track", json={"event": "Seen", **event}, auth=(WRITE, ""), headers=sent)
    assert answer.json()["accepted"] == 1


async def test_the_publishers_segment_grants(rig: Rig, client: httpx.AsyncClient) -> None:
    answer = await post(client, "tcf", AGREED)
    assert answer.status_code == 200
    body = answer.json()
    assert body["heard"] == {"personalization": True, "analytics": True, "advertising": False}
    assert body["outdated"] == []
    assert (await statuses(client))["personalization"] == "granted"
    proof = [row for row in rig.state.ledger if row.subject == rig.id_of(ANN)][-1]
    assert proof.payload is not None
    assert b"tcf" in proof.payload
    assert AGREED.encode() in proof.payload


async def test_vendor_purposes_alone_grant_nothing(client: httpx.AsyncClient) -> None:
    body = (await post(client, "tcf", WITHOUT_PUBLISHER)).json()
    # advertising (1, 3, 4) was agreed for vendors, which is no yes for us; the others were not, which is a no
    assert body["heard"] == {"personalization": False, "analytics": False}
    assert (await statuses(client))["advertising"] == "not_asked"


async def test_our_own_vendor_id_grants(rig: Rig) -> None:
    rules = SignalRules(tcf=TcfRules(vendor_id=755))
    rig.configuration.current = msgspec.structs.replace(rig.configuration.current, signals=rules)
    async with rig.client(ADMIN) as client:
        body = (await post(client, "tcf", WITHOUT_PUBLISHER)).json()
    assert body["heard"] == {"advertising": True, "personalization": False, "analytics": False}


async def test_a_string_from_before_the_withdrawal_does_not_widen(rig: Rig, client: httpx.AsyncClient) -> None:
    await client.patch(CONSENT, json={"purposes": {"personalization": False}})
    body = (await post(client, "tcf", AGREED)).json()
    assert body["outdated"] == ["personalization"]
    after = await statuses(client)
    assert (after["personalization"], after["analytics"]) == ("denied", "granted")


async def test_a_string_from_after_the_withdrawal_widens(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.clock.at = JANUARY - 1000
    await client.patch(CONSENT, json={"purposes": {"personalization": False}})
    rig.clock.at = JANUARY + 5000
    assert (await post(client, "tcf", AGREED)).json()["outdated"] == []
    assert (await statuses(client))["personalization"] == "granted"


async def test_a_no_counts_however_old_the_string_is(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.clock.at = NOW
    await grant(client, "personalization")
    await post(client, "tcf", VECTOR)
    assert (await statuses(client))["personalization"] == "withdrawn"


async def test_a_string_from_the_future_is_rejected(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.clock.at = JANUARY - 2 * 86_400_000
    answer = await post(client, "tcf", AGREED)
    assert (answer.status_code, answer.json()["code"]) == (400, "string_from_the_future")


@pytest.mark.parametrize(
    ("kind", "string", "code"),
    [
        ("tcf", AGREED[:40], "invalid_tc_string"),
        ("tcf", OPTED_OUT, "invalid_tc_string"),
        ("tcf", "é", "invalid_tc_string"),
        ("gpp", AGREED, "invalid_gpp_string"),
        ("gpp", "DBABLA", "invalid_gpp_string"),
        ("gpp", "DBABLA~", "invalid_gpp_string"),
        ("gpp", "DBABLA~!!!", "invalid_gpp_string"),
        ("gpp", f"XXXX{OPTED_OUT[6:]}", "invalid_gpp_string"),
        ("gpp", f"{OPTED_OUT}~BVQVAAAAAgA", "invalid_gpp_string"),
    ],
)
async def test_a_rejected_string_changes_nothing(
    rig: Rig, client: httpx.AsyncClient, kind: str, string: str, code: str
) -> None:
    await grant(client, "advertising", "personalization")
    before, rows = dict(rig.state.held), len(rig.state.ledger)
    answer = await post(client, kind, string, Sec_GPC="1")
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert string not in answer.text
    assert (rig.state.held, len(rig.state.ledger)) == (before, rows)


async def test_a_us_opt_out_refuses_sale_and_advertising(client: httpx.AsyncClient) -> None:
    await grant(client, "advertising", "analytics")
    body = (await post(client, "gpp", OPTED_OUT)).json()
    assert body["heard"] == {"sale_or_share": False, "advertising": False}
    after = await statuses(client)
    assert (after["sale_or_share"], after["advertising"], after["analytics"]) == ("denied", "withdrawn", "granted")


async def test_not_having_opted_out_is_no_yes(rig: Rig, client: httpx.AsyncClient) -> None:
    before = dict(rig.state.held)
    assert (await post(client, "gpp", NOT_OPTED_OUT)).json()["heard"] == {}
    assert rig.state.held == before


class Hurried(MemoryConsents):
    """Somebody withdraws between each read and the first `times` writes that widen."""

    def __init__(self, rig: Rig, times: int) -> None:
        super().__init__(rig.state, rig.notices)
        self._rig = rig
        self._left = times

    async def write(self, changes: Mapping[str, ConsentChange], told: Circumstances = PLAIN) -> dict[str, Held]:
        if told.expected is not None and self._left:
            self._left -= 1
            no = Statement("denied", self._rig.clock() + 60_000 - self._left, "desk")
            await super().write({self._rig.id_of(ANN): ConsentChange({"personalization": no})})
        return await super().write(changes, told)


@pytest.mark.parametrize(("times", "status"), [(1, 200), (9, 409)])
async def test_nobody_is_widened_over_a_withdrawal_that_came_in_between(rig: Rig, times: int, status: int) -> None:
    app = create_app(dataclasses.replace(rig.world, consents=Hurried(rig, times)))
    headers = {"X-API-Key": ADMIN}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://rapport", headers=headers
    ) as client:
        answer = await post(client, "tcf", AGREED)
        assert answer.status_code == status
        found = await statuses(client)
    assert found["personalization"] == "denied"
    assert found["analytics"] == ("granted" if status == 200 else "not_asked")


async def test_the_same_string_again_is_no_statement(rig: Rig, client: httpx.AsyncClient) -> None:
    await post(client, "tcf", AGREED)
    before, rows = dict(rig.state.held), len(rig.state.ledger)
    await post(client, "tcf", AGREED)
    assert (rig.state.held, len(rig.state.ledger)) == (before, rows)


async def test_the_browsers_opt_out_beats_the_string(client: httpx.AsyncClient) -> None:
    body = (await post(client, "tcf", AGREED, Sec_GPC="1")).json()
    assert body["heard"]["advertising"] is False
    assert (await statuses(client))["sale_or_share"] == "denied"


async def test_who_may_hand_in_strings(rig: Rig) -> None:
    for key, status in [(None, 401), (WRITE, 403), ("marketer-key", 403), (AGENT, 200), ("preference-key", 200)]:
        async with rig.client(key) as client:
            assert (await post(client, "gpp", OPTED_OUT)).status_code == status


@pytest.mark.parametrize("value", ["1"])
async def test_gpc_on_an_event_opts_out_the_browser_and_the_person(
    rig: Rig, client: httpx.AsyncClient, value: str
) -> None:
    await grant(client, "advertising", "analytics")
    await track(rig, {"userId": "u-1", "anonymousId": "a-1"}, Sec_GPC=value)
    for ref in (ANN, "anonymous_id:a-1", "email:ann@example.org"):
        found = await statuses(client, ref)
        assert (found["sale_or_share"], found["advertising"]) == ("denied", "denied")
        assert found["analytics"] == "granted"
    # parting them again gives nothing back, nor does the next event without the header
    await client.post("/v1/profiles/unlink", json={"left": ANN, "right": "anonymous_id:a-1"})
    await track(rig, {"anonymousId": "a-1"})
    assert (await statuses(client, "anonymous_id:a-1"))["sale_or_share"] == "denied"
    assert (await statuses(client))["advertising"] == "denied"


async def test_a_cookies_no_of_before_does_not_make_the_browsers_a_repetition(
    rig: Rig, client: httpx.AsyncClient
) -> None:
    """A banner denies by default, the person agrees, and later the browser opts out for the first time."""
    denied = {"consent": {"categoryPreferences": {"advertising": False}}}
    await track(rig, {"userId": "u-1", "context": denied})
    rig.clock.at += 1000
    await grant(client, "advertising")
    rig.clock.at += 1000
    await track(rig, {"userId": "u-1", "context": denied})
    assert (await statuses(client))["advertising"] == "granted"
    await track(rig, {"userId": "u-1"}, Sec_GPC="1")
    assert (await statuses(client))["advertising"] == "denied"
    rig.clock.at += 1000
    await grant(client, "advertising")
    await track(rig, {"userId": "u-1"}, Sec_GPC="1")
    assert (await statuses(client))["advertising"] == "granted"


async def test_a_browser_refuses_when_it_asks_however_old_its_event_is(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "advertising")
    rig.clock.at += 1000
    await track(rig, {"userId": "u-1", "timestamp": "2020-01-01T00:00:00Z"}, Sec_GPC="1")
    assert (await statuses(client))["advertising"] == "denied"


async def test_a_change_event_under_gpc_opens_nothing_that_the_browser_refuses(
    rig: Rig, client: httpx.AsyncClient
) -> None:
    both = {"consent": {"categoryPreferences": {"advertising": True, "analytics": True}}}
    await track(rig, {"userId": "u-1", "event": CONSENT_CHANGED, "context": both}, Sec_GPC="1")
    found = await statuses(client)
    assert (found["advertising"], found["analytics"]) == ("denied", "granted")


async def test_a_refusal_goes_for_everybody_its_event_names(rig: Rig, client: httpx.AsyncClient) -> None:
    """Also where a person has said that the two do not belong together."""
    await client.post("/v1/profiles/unlink", json={"left": ANN, "right": "anonymous_id:a-1", "reason": "shared"})
    await track(rig, {"userId": "u-1", "anonymousId": "a-1"}, Sec_GPC="1")
    for ref in (ANN, "anonymous_id:a-1"):
        assert (await statuses(client, ref))["sale_or_share"] == "denied"


async def test_a_string_from_a_fast_clock_does_not_undo_a_withdrawal(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.clock.at = JANUARY - 20 * 3_600_000
    assert (await post(client, "tcf", AGREED)).json()["outdated"] == []
    assert (await statuses(client))["analytics"] == "granted"
    rig.clock.at += 3_600_000
    await client.patch(CONSENT, json={"purposes": {"analytics": False}})
    rig.clock.at += 3_600_000
    assert "analytics" in (await post(client, "tcf", AGREED)).json()["outdated"]
    assert (await statuses(client))["analytics"] == "withdrawn"


async def test_a_string_renews_no_yes_that_has_expired(rig: Rig, client: httpx.AsyncClient) -> None:
    await post(client, "tcf", AGREED)
    rig.clock.at = JANUARY + 800 * 86_400_000
    assert (await statuses(client))["analytics"] == "expired"
    assert "analytics" in (await post(client, "tcf", AGREED)).json()["outdated"]
    assert (await statuses(client))["analytics"] == "expired"


@pytest.mark.parametrize("value", ["0", "true", "1, 1", "2", ""])
async def test_any_other_value_is_no_signal(rig: Rig, client: httpx.AsyncClient, value: str) -> None:
    await track(rig, {"userId": "u-1"}, Sec_GPC=value)
    assert (await statuses(client))["sale_or_share"] == "not_asked"


async def test_gpc_goes_for_every_event_of_a_batch_and_for_cloudevents(rig: Rig, client: httpx.AsyncClient) -> None:
    batch = {"batch": [{"type": "page", "anonymousId": name} for name in ("a-1", "a-2")]}
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "Seen", "subject": "u-9", "data": {}}
    async with rig.client() as sender:
        await sender.post("/v1/batch", json=batch, auth=(WRITE, ""), headers={"Sec-GPC": "1"})
        typed = {"Sec-GPC": "1", "Content-Type": "application/cloudevents+json"}
        await sender.post("/v1/cloudevents", json=event, auth=(WRITE, ""), headers=typed)
    for ref in ("anonymous_id:a-1", "anonymous_id:a-2", "user_id:u-9"):
        assert (await statuses(client, ref))["sale_or_share"] == "denied"


async def test_that_gpc_is_honoured_is_said(rig: Rig) -> None:
    async with rig.client() as anybody:
        answer = await anybody.get("/.well-known/gpc.json")
    assert answer.json() == {"gpc": True, "lastUpdate": "2026-01-01"}
    assert answer.headers["content-type"] == "application/json"


MODE = {
    "ad_storage": "denied",
    "ad_user_data": "granted",
    "ad_personalization": "granted",
    "analytics_storage": "granted",
}


async def test_google_consent_mode_narrows_and_the_change_event_widens(rig: Rig, client: httpx.AsyncClient) -> None:
    await track(rig, {"userId": "u-1", "context": {"consent": MODE}})
    found = await statuses(client)
    assert (found["advertising"], found["analytics"], found["sale_or_share"]) == ("denied", "not_asked", "not_asked")
    rig.clock.at += 1000
    granted = {**MODE, "ad_storage": "granted"}
    await track(rig, {"userId": "u-1", "event": CONSENT_CHANGED, "context": {"consent": granted}})
    assert (await statuses(client))["advertising"] == "granted"


@pytest.mark.parametrize(
    ("managed", "expected"),
    [
        ({"allowedConsentIds": ["marketing"], "deniedConsentIds": ["analytics"]}, ("granted", "denied")),
        ({"allowedConsentIds": ["Marketing"], "deniedConsentIds": []}, ("not_asked", "not_asked")),
        ({"deniedConsentIds": ["marketing"], "resolutionStrategy": "or"}, ("denied", "not_asked")),
    ],
)
async def test_rudderstacks_form_counts_the_same(
    rig: Rig, client: httpx.AsyncClient, managed: dict[str, Any], expected: tuple[str, str]
) -> None:
    await track(rig, {"userId": "u-1", "event": CONSENT_CHANGED, "context": {"consentManagement": managed}})
    found = await statuses(client)
    assert (found["marketing"], found["analytics"]) == expected
