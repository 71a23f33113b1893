"""Double opt-in: pending counts as no, one press says yes once, and a no said since outranks the link."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from engine.opt_in import CONFIRMED, EXPIRED, PENDING, WITHDRAWN, token_hash
from engine.ports import ConsentChange, Proof
from infra.memory_ports import MemoryConsents
from tests.api.seed import ANN, grant
from tests.api.world import WRITE, Rig

HOUR = 3_600_000
CONSENT = f"/v1/profiles/{ANN}/consent"


async def ask(client: httpx.AsyncClient, **more: Any) -> str:
    body = {"profile": ANN, "purposes": ["marketing"], "text_version": "2026-01", **more}
    answer = await client.post("/v1/consent/opt-in", json=body)
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["url"]
    return url.removeprefix("http://rapport")


async def press(rig: Rig, where: str) -> httpx.Response:
    async with rig.client() as anybody:
        return await anybody.post(where, data={"confirm": "yes"})


async def status(client: httpx.AsyncClient, purpose: str = "marketing") -> str:
    found: str = (await client.get(CONSENT)).json()["purposes"][purpose]["status"]
    return found


def kept(rig: Rig, where: str) -> str:
    return rig.opt_ins.kept[token_hash(where.rpartition("/")[2])].state


async def test_pending_is_no_until_the_button_is_pressed(rig: Rig, client: httpx.AsyncClient) -> None:
    where = await ask(client)
    assert (await status(client), kept(rig, where)) == ("pending", PENDING)
    async with rig.client() as anybody:
        page = await anybody.get(where)
    assert page.status_code == 200
    assert "Tell you about offers of our own" in page.text
    assert await status(client) == "pending"
    answer = await press(rig, where)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert (await status(client), kept(rig, where)) == ("granted", CONFIRMED)


async def test_both_moments_and_the_text_are_on_record(rig: Rig, client: httpx.AsyncClient) -> None:
    where = await ask(client)
    rig.clock.at += HOUR
    await press(rig, where)
    last = rig.state.ledger[-1].payload
    assert last is not None
    for part in (b"requested_at", b"confirmed_at", b"double_opt_in", b"2026-01"):
        assert part in last


async def test_a_link_works_once(rig: Rig, client: httpx.AsyncClient) -> None:
    where = await ask(client)
    await press(rig, where)
    await client.patch(CONSENT, json={"purposes": {"marketing": False}})
    assert (await press(rig, where)).status_code == 200
    assert await status(client) == "withdrawn"


async def test_a_no_said_since_outranks_the_link(rig: Rig, client: httpx.AsyncClient) -> None:
    where = await ask(client)
    rig.clock.at += HOUR
    await client.patch(CONSENT, json={"purposes": {"marketing": False}})
    answer = await press(rig, where)
    assert (answer.status_code, answer.json()["code"]) == (410, "link_withdrawn")
    assert kept(rig, where) == WITHDRAWN
    assert await status(client) == "denied"


@pytest.mark.parametrize("refused", ["newsletter", "all"])
async def test_a_topic_that_was_refused_since_is_not_opened_again(
    rig: Rig, client: httpx.AsyncClient, refused: str
) -> None:
    where = await ask(client, preferences={"email": ["newsletter"]})
    rig.clock.at += HOUR
    await client.patch(CONSENT, json={"preferences": {"email": {refused: False}}})
    assert (await press(rig, where)).json()["code"] == "link_withdrawn"
    assert (await client.get(CONSENT)).json()["preferences"] == {"email": {refused: False}}


@pytest.mark.parametrize("no", [{"purposes": {"marketing": False}}, {"preferences": {"email": {"all": False}}}])
async def test_a_no_said_again_since_outranks_the_link_as_well(
    rig: Rig, client: httpx.AsyncClient, no: dict[str, Any]
) -> None:
    """It changes nothing of what holds, and is said all the same."""
    await client.patch(CONSENT, json=no)
    where = await ask(client, preferences={"email": ["news"]})
    rig.clock.at += HOUR
    await client.patch(CONSENT, json=no)
    assert (await press(rig, where)).json()["code"] == "link_withdrawn"


async def test_a_topic_refused_on_another_channel_is_another_matter(rig: Rig, client: httpx.AsyncClient) -> None:
    where = await ask(client, preferences={"email": ["newsletter"]})
    rig.clock.at += HOUR
    await client.patch(CONSENT, json={"preferences": {"sms": {"all": False}}})
    assert (await press(rig, where)).status_code == 200
    assert (await client.get(CONSENT)).json()["preferences"]["email"] == {"newsletter": True}


async def test_a_no_said_before_may_be_taken_back(rig: Rig, client: httpx.AsyncClient) -> None:
    await client.patch(CONSENT, json={"purposes": {"marketing": False}})
    rig.clock.at += HOUR
    where = await ask(client)
    assert await status(client) == "denied"
    await press(rig, where)
    assert await status(client) == "granted"


async def test_a_link_expires(rig: Rig, client: httpx.AsyncClient) -> None:
    where = await ask(client)
    rig.clock.at += 48 * HOUR
    answer = await press(rig, where)
    assert (answer.status_code, answer.json()["code"]) == (410, "link_expired")
    assert (await status(client), kept(rig, where)) == ("pending", EXPIRED)
    async with rig.client() as anybody:
        assert (await anybody.get(where)).status_code == 410


async def test_what_is_agreed_stays_agreed_while_asked_again(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "marketing")
    await ask(client)
    assert await status(client) == "granted"


async def test_a_confirmation_opens_the_topic_too(rig: Rig, client: httpx.AsyncClient) -> None:
    await client.patch(CONSENT, json={"preferences": {"email": {"newsletter": False}}})
    where = await ask(client, preferences={"email": ["newsletter"]})
    assert (await client.get(CONSENT)).json()["preferences"] == {"email": {"newsletter": False}}
    await press(rig, where)
    assert (await client.get(CONSENT)).json()["preferences"] == {"email": {"newsletter": True}}


async def test_the_token_itself_is_stored_nowhere(rig: Rig, client: httpx.AsyncClient) -> None:
    token = (await ask(client)).rpartition("/")[2]
    assert token not in repr(rig.opt_ins.kept)
    assert token not in repr(rig.state.ledger)


@pytest.mark.parametrize("token", ["unknown", "%C3%A9", "a" * 120])
async def test_an_unknown_link_opens_nothing(rig: Rig, token: str) -> None:
    assert (await press(rig, f"/v1/consent/opt-in/{token}")).status_code == 404


async def test_a_post_without_the_button_confirms_nothing(rig: Rig, client: httpx.AsyncClient) -> None:
    where = await ask(client)
    async with rig.client() as anybody:
        assert (await anybody.post(where, data={"confirm": "no"})).status_code == 400
        assert (await anybody.post(where)).status_code == 400
    assert await status(client) == "pending"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"purposes": ["world_domination"]}, 400),
        ({"preferences": {"pigeon": ["x"]}}, 400),
        ({"purposes": ["service"]}, 409),
        ({"purposes": []}, 422),
    ],
)
async def test_what_cannot_be_asked_is_refused(client: httpx.AsyncClient, more: dict[str, Any], code: int) -> None:
    body = {"profile": ANN, "purposes": ["marketing"], **more}
    assert (await client.post("/v1/consent/opt-in", json=body)).status_code == code


async def test_who_may_ask(rig: Rig) -> None:
    for key, code in [(None, 401), (WRITE, 403), ("auditor-key", 403), ("marketer-key", 201)]:
        async with rig.client(key) as client:
            body = {"profile": ANN, "purposes": ["marketing"]}
            assert (await client.post("/v1/consent/opt-in", json=body)).status_code == code


@pytest.mark.parametrize(("hours", "status"), [(48, 410), (0, 404)])
async def test_people_read_pages_also_about_what_did_not_work(
    rig: Rig, client: httpx.AsyncClient, hours: int, status: int
) -> None:
    where = await ask(client) if hours else "/v1/consent/opt-in/unknown"
    rig.clock.at += hours * HOUR
    async with rig.client() as anybody:
        page = await anybody.post(where, data={"confirm": "yes"}, headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    assert ("If your data was deleted since" in page.text) == (status == 404)


async def test_a_topic_refused_while_the_button_is_pressed_is_not_opened(
    rig: Rig, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the ledger and the writing."""
    where = await ask(client, preferences={"email": ["newsletter"]})
    looked = MemoryConsents.history

    async def and_then(consents: MemoryConsents, identities: Sequence[str]) -> list[Proof]:
        rows = await looked(consents, identities)
        await consents.write({rig.id_of(ANN): ConsentChange(preferences={"email": {"newsletter": False}})})
        return rows

    monkeypatch.setattr(MemoryConsents, "history", and_then)
    assert (await press(rig, where)).json()["code"] == "link_withdrawn"
    assert (await client.get(CONSENT)).json()["preferences"] == {"email": {"newsletter": False}}
