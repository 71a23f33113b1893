"""The preference page over HTTP: what its buttons write, and which text a yes proves."""

import re
from typing import Any

import httpx
import msgspec
import pytest

from api.preference_page import text_version
from engine.erasure_job import MARGIN_MS
from tests.api.seed import ANN, link
from tests.api.world import ADMIN, AGENT, WRITE, Rig

HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def buttons(page: str) -> dict[str, dict[str, str]]:
    """Every form of the page by what its button says, with the fields it sends."""
    forms = re.findall(r"<form .*?</form>", page, re.DOTALL)
    return {re.findall(r'aria-label="([^"]*)"', form)[0]: dict(HIDDEN.findall(form)) for form in forms}


def row(page: str, heading: str) -> str:
    """The line of the page under this heading, as text."""
    found = next(part for part in re.findall(r"<li>.*?</li>", page, re.DOTALL) if f"<h3>{heading}</h3>" in part)
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", found)).strip()


async def press(client: httpx.AsyncClient, where: str, button: str, language: str = "en") -> str:
    """Press a button as the page has it; the page that comes then."""
    place = f"{where}?lang={language}"
    fields = buttons((await client.get(place)).text)[button]
    answer = await client.post(place, data=fields)
    assert answer.status_code == 303, answer.text
    return (await client.get(answer.headers["location"])).text


async def change(rig: Rig, **asked: Any) -> None:
    """A change of consent by the company's own system."""
    async with rig.client(ADMIN) as client:
        tag = (await client.get(f"/v1/profiles/{ANN}/consent")).headers["etag"]
        answer = await client.patch(f"/v1/profiles/{ANN}/consent", json=asked, headers={"If-Match": tag})
    assert answer.status_code == 200, answer.text


async def status(rig: Rig, purpose: str) -> str:
    async with rig.client(ADMIN) as client:
        consent = (await client.get(f"/v1/profiles/{ANN}/consent")).json()
    return str(consent["purposes"][purpose]["status"])


def reword(rig: Rig, purpose: str, **changed: Any) -> None:
    """A purpose of the configuration as somebody edits it while a page is open."""
    current = rig.configuration.current
    edited = msgspec.structs.replace(current.purposes.purposes[purpose], **changed)
    purposes = msgspec.structs.replace(current.purposes, purposes={**current.purposes.purposes, purpose: edited})
    rig.configuration.current = msgspec.structs.replace(current, purposes=purposes)


async def test_a_yes_names_the_text_that_stood_beside_its_button(rig: Rig, anybody: httpx.AsyncClient) -> None:
    page = await press(anybody, await link(rig), "Zustimmen: Werbung für eigene Angebote", "de")
    assert "Gespeichert" in page
    assert await status(rig, "marketing") == "granted"
    [statement] = rig.state.held[rig.id_of(ANN)].statements["marketing"]
    assert statement.text_version == text_version(rig.configuration.current.purposes, "marketing", "de")


async def test_what_was_saved_is_said_while_it_is_new_and_not_when_the_page_is_opened_again_later(
    rig: Rig, anybody: httpx.AsyncClient
) -> None:
    where = f"{await link(rig)}?lang=en"
    answer = await anybody.post(where, data=buttons((await anybody.get(where)).text)["Stop: E-mail"])
    place = answer.headers["location"]
    assert "Saved. It holds from now on." in (await anybody.get(place)).text
    rig.clock.at += 61_000
    assert "Saved" not in (await anybody.get(place)).text
    for at in ("", "&at=", "&at=soon", f"&at={'9' * 5000}", "&at=-1", "&at=%C2%B2"):
        answer = await anybody.get(f"{where}&said=saved{at}")
        assert (answer.status_code, "Saved" in answer.text) == (200, False)


async def test_a_yes_to_a_text_that_has_changed_since_is_not_written(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await link(rig)
    fields = buttons((await anybody.get(where)).text)["Agree: Marketing"]
    reword(rig, "marketing", text={"en": "Something else altogether."})
    answer = await anybody.post(where, data=fields)
    assert answer.status_code == 303
    page = (await anybody.get(answer.headers["location"])).text
    assert "The text has changed since you opened the page" in page
    assert "Something else altogether." in page
    assert rig.state.ledger == []
    assert "Saved" in await press(anybody, where, "Agree: Marketing")
    assert await status(rig, "marketing") == "granted"


@pytest.mark.parametrize("text", [None, "", "en:0123456789ab", "fr:0123456789ab", "en:nonsense", "x" * 500])
async def test_a_yes_that_does_not_name_the_text_shown_writes_nothing(
    rig: Rig, anybody: httpx.AsyncClient, text: str | None
) -> None:
    fields = {"kind": "purpose", "name": "marketing", "wanted": "yes"} | ({} if text is None else {"text": text})
    answer = await anybody.post(await link(rig), data=fields)
    assert (answer.status_code, answer.headers["location"][-7:]) == (303, "changed")
    assert rig.state.ledger == []


@pytest.mark.parametrize("text", ["en:0123456789ab", "", "en:nonsense", "<script>"])
async def test_nothing_about_the_text_blocks_a_withdrawal(rig: Rig, anybody: httpx.AsyncClient, text: str) -> None:
    where = await link(rig)
    await press(anybody, where, "Agree: Marketing")
    reword(rig, "marketing", text={"en": "Something else altogether."})
    fields = {"kind": "purpose", "name": "marketing", "wanted": "no", "text": text}
    answer = await anybody.post(f"{where}?lang=en", data=fields)
    assert answer.headers["location"].endswith("said=saved")
    assert await status(rig, "marketing") == "withdrawn"
    current = text_version(rig.configuration.current.purposes, "marketing", "en")
    said = rig.state.held[rig.id_of(ANN)].statements["marketing"][0]
    assert said.text_version == (text if text == "en:0123456789ab" else current)


async def test_restricted_data_is_said_to_rest_and_its_yes_can_be_taken_back(
    rig: Rig, anybody: httpx.AsyncClient
) -> None:
    where = await link(rig)
    await change(rig, purposes={"marketing": True})
    await change(rig, restricted=True)
    page = (await anybody.get(where)).text
    assert page.count("Restricted: your data is stored and not used.") == 2  # the notice and the history
    assert "You agree · not used while your data is restricted" in row(page, "Marketing")
    assert "not used while your data is restricted" in row(page, "Service")
    assert "You have not been asked" in row(page, "Advertising")
    assert "restricted" not in row(page, "Advertising")
    assert "We may reach you this way · not used while your data is restricted" in row(page, "E-mail")
    assert 'class="state yes"' not in page
    page = await press(anybody, where, "Stop: E-mail")
    assert row(page, "E-mail") == "E-mail We do not reach you this way Allow"
    page = await press(anybody, where, "Withdraw: Marketing")
    assert "You have withdrawn" in row(page, "Marketing")
    await change(rig, restricted=False)
    assert await status(rig, "marketing") == "withdrawn"
    page = (await anybody.get(where)).text
    assert "No longer restricted: your data is used as you have chosen." in page
    assert page.count("Restricted: your data is stored and not used.") == 1


async def test_a_yes_while_restricted_is_kept_and_shown_as_such(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await link(rig)
    await change(rig, restricted=True)
    page = await press(anybody, where, "Agree: Marketing")
    assert "You agree · not used while your data is restricted" in row(page, "Marketing")
    assert "Withdraw: Marketing" in buttons(page)


async def test_who_was_not_asked_reads_that_the_data_is_in_use_and_may_refuse(
    rig: Rig, anybody: httpx.AsyncClient
) -> None:
    where = await link(rig)
    await change(rig, jurisdiction="US")
    page = (await anybody.get(where)).text
    assert "In use until you refuse" in row(page, "Marketing")
    await change(rig, restricted=True)
    page = (await anybody.get(where)).text
    expected = "You have not been asked · not used while your data is restricted, afterwards until you refuse"
    assert expected in row(page, "Marketing")
    await press(anybody, where, "Refuse: Marketing")
    await change(rig, restricted=False)
    assert await status(rig, "marketing") == "denied"


async def test_what_waits_for_a_confirmation_can_be_called_back(rig: Rig, anybody: httpx.AsyncClient) -> None:
    async with rig.client(ADMIN) as client:
        asked = {"profile": ANN, "purposes": ["marketing"]}
        confirming = (await client.post("/v1/consent/opt-in", json=asked)).json()["url"]
    where = await link(rig)
    assert "Waiting for your confirmation" in row((await anybody.get(where)).text, "Marketing")
    await press(anybody, where, "Withdraw: Marketing")
    answer = await anybody.post(confirming.removeprefix("http://rapport"), data={"confirm": "yes"})
    assert answer.status_code == 410
    assert await status(rig, "marketing") == "denied"


async def test_a_yes_that_an_objection_to_something_else_holds_back_can_be_taken_back(
    rig: Rig, anybody: httpx.AsyncClient
) -> None:
    where = await link(rig)
    reword(rig, "marketing", basis="legitimate_interests")
    await change(rig, purposes={"profiling": True})
    await change(rig, purposes={"marketing": False})
    assert await status(rig, "profiling") == "objected"
    page = (await anybody.get(where)).text
    assert "You agree · not used, because you have objected to: Marketing" in row(page, "Predictions")
    page = await press(anybody, where, "Withdraw: Predictions")
    await change(rig, purposes={"marketing": True})
    assert await status(rig, "profiling") == "denied"


async def test_every_way_that_can_be_refused_can_be_chosen_on_the_page(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await link(rig)
    offered = {fields["name"] for fields in buttons((await anybody.get(where)).text).values()}
    ways = ("email", "sms", "voice", "whatsapp", "push", "chat", "web")
    assert {name for name in offered if ":" in name} == {f"{way}:all" for way in ways}
    await press(anybody, where, "Stop: WhatsApp")
    await press(anybody, where, "Stop: Notifications")
    async with rig.client(ADMIN) as client:
        held = (await client.get(f"/v1/profiles/{ANN}/consent")).json()["preferences"]
    assert held == {"push": {"all": False}, "whatsapp": {"all": False}}
    assert (await anybody.post(where, data={"kind": "channel", "name": "other:all", "wanted": "no"})).status_code == 400


async def test_a_topic_of_a_way_that_is_off_altogether_says_so(rig: Rig, anybody: httpx.AsyncClient) -> None:
    await change(rig, preferences={"email": {"all": False, "news": True}})
    where = await link(rig)
    assert "Off, because you have stopped this way altogether" in row((await anybody.get(where)).text, "E-mail · news")
    page = await press(anybody, where, "Stop: E-mail · news")
    assert "We do not reach you this way" in row(page, "E-mail · news")


async def test_reloading_the_page_of_a_deletion_starts_no_other(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await link(rig)
    answer = await anybody.post(f"{where}/deletion?lang=de")
    assert answer.status_code == 303
    place = answer.headers["location"]
    before = len(list(rig.events()))
    page, again = await anybody.get(place), await anybody.get(place)
    assert (page.status_code, page.text) == (200, again.text)
    assert "Ihre Daten werden gelöscht" in page.text
    [number] = re.findall(r"<code>(\w+)</code>", page.text)
    assert len(list(rig.events())) == before
    async with rig.client(ADMIN) as client:
        job = (await client.get(f"/v1/erasures/{number}")).json()
        assert (job["status"], job["requested_by"]) == ("completed", "the person")
        assert (await client.get(f"/v1/profiles/{ANN}")).status_code == 404


async def test_a_link_of_before_an_erasure_shows_nobody_who_came_after(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await link(rig)
    rig.clock.at += 1000
    async with rig.client(ADMIN) as client:
        await client.delete(f"/v1/profiles/{ANN}")
    rig.clock.at += 2 * MARGIN_MS
    newcomer = {"userId": "u-1", "traits": {"name": "Somebody Else"}}
    await anybody.post("/v1/identify", json=newcomer, auth=(WRITE, ""))
    for part in ("", "/data", "/deletion"):
        answer = await anybody.get(f"{where}{part}")
        assert answer.status_code == 410
        assert "Your data was deleted" in answer.text
        assert "expired" not in answer.text
        assert "Somebody Else" not in answer.text
    assert (await anybody.post(f"{where}/deletion")).status_code == 410
    choice = {"kind": "channel", "name": "email:all", "wanted": "no"}
    assert (await anybody.post(where, data=choice)).status_code == 410
    async with rig.client(ADMIN) as client:
        assert (await client.get(f"/v1/profiles/{ANN}/consent")).json()["preferences"] == {}
    assert "Somebody Else" in (await anybody.get(await link(rig))).text


async def test_a_link_names_no_erasure_of_somebody_else(rig: Rig, anybody: httpx.AsyncClient) -> None:
    async with rig.client(ADMIN) as client:
        job = (await client.delete(f"/v1/profiles/{ANN}")).json()["erasure_id"]
    where = await link(rig, "user_id:u-2")
    answer = await anybody.get(f"{where}/deletion/{job}")
    assert answer.status_code == 404
    assert job not in answer.text


async def test_only_a_preference_center_or_an_admin_makes_links(rig: Rig) -> None:
    for key, status in ((AGENT, 403), ("marketer-key", 403), ("preference-key", 200), (ADMIN, 200)):
        async with rig.client(key) as client:
            assert (await client.post(f"/v1/profiles/{ANN}/preference-link")).status_code == status
