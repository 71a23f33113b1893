"""One-click unsubscribe as mail programs do it, and what opening a link must not do."""

import re
from typing import Any

import httpx
import msgspec
import pytest

from api.sealed import seal, unseal
from tests.api.seed import ANN, decide, grant
from tests.api.world import ADMIN, AGENT, NOW, SECRET, WRITE, Rig

DAY = 86_400_000
ONE_CLICK = "List-Unsubscribe=One-Click"
BOUNDARY = "----=_Part_7f3a"
URLENCODED = (ONE_CLICK.encode(), "application/x-www-form-urlencoded")
MULTIPART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n'
    f"--{BOUNDARY}--\r\n".encode(),
    f'multipart/form-data; boundary="{BOUNDARY}"',
)


async def made(rig: Rig, **asked: Any) -> dict[str, Any]:
    body = {"profiles": [ANN], "channel": "email", "topic": "newsletter", **asked}
    async with rig.client("marketer-key") as client:
        answer = await client.post("/v1/unsubscribe-links", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def path(rig: Rig, **asked: Any) -> str:
    url: str = (await made(rig, **asked))["links"][0]["url"]
    return url.removeprefix("http://rapport")


async def press(client: httpx.AsyncClient, where: str, form: tuple[bytes, str] = URLENCODED) -> httpx.Response:
    return await client.post(where, content=form[0], headers={"Content-Type": form[1]})


async def preferences(rig: Rig, ref: str = ANN) -> dict[str, Any]:
    async with rig.client(ADMIN) as client:
        return dict((await client.get(f"/v1/profiles/{ref}/consent")).json()["preferences"])


SHOUTED = (b"LIST-UNSUBSCRIBE=one-click", URLENCODED[1])


@pytest.mark.parametrize("form", [URLENCODED, MULTIPART, SHOUTED], ids=["urlencoded", "multipart", "other-case"])
async def test_one_post_unsubscribes(rig: Rig, anybody: httpx.AsyncClient, form: tuple[bytes, str]) -> None:
    where = await path(rig)
    answer = await press(anybody, where, form)
    assert answer.status_code == 200
    assert not {"set-cookie", "location"} & set(answer.headers)
    for ref in (ANN, "email:ann@example.org"):
        assert await preferences(rig, ref) == {"email": {"newsletter": False}}


async def test_pressing_again_is_the_same_said_once_more(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await path(rig)
    await press(anybody, where)
    held, rows = await preferences(rig, ANN), len(rig.state.ledger)
    assert (await press(anybody, where)).status_code == 200
    assert (await preferences(rig, ANN), len(rig.state.ledger)) == (held, 2 * rows)


async def test_opening_the_link_changes_nothing(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await path(rig)
    page = await anybody.get(where)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert 'method="post"' in page.text
    assert re.search(r'name="List-Unsubscribe" value="One-Click"', page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await anybody.head(where)).status_code == 405
    assert await preferences(rig) == {}


async def test_the_page_speaks_the_readers_language(rig: Rig, anybody: httpx.AsyncClient) -> None:
    page = await anybody.get(await path(rig), headers={"Accept-Language": "fr, de-AT;q=0.8, en;q=0.5"})
    assert '<html lang="de">' in page.text
    assert "Abmelden" in page.text


async def test_an_e_mail_decision_obeys_at_once(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await path(rig, topic="all")
    async with rig.client(ADMIN) as client:
        await grant(client, "marketing", "personalization", "profiling")
        before = await decide(client, placement="email")
        await press(anybody, where)
        after = await decide(client, placement="email")
    assert before["actions"]
    assert after["actions"] == []
    assert "preference" in {b["rule"] for b in after["blocked"]}


@pytest.mark.parametrize(
    "form",
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"List-Unsubscribe=Two-Clicks", "application/x-www-form-urlencoded"),
        (ONE_CLICK.encode(), "text/plain"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"--x", "multipart/form-data"),
        (b"a" * 9000, "application/x-www-form-urlencoded"),
    ],
)
async def test_any_other_body_changes_nothing(rig: Rig, anybody: httpx.AsyncClient, form: tuple[bytes, str]) -> None:
    assert (await press(anybody, await path(rig), form)).status_code == 400
    assert await preferences(rig) == {}


async def test_a_link_of_somebody_elses_making_opens_nothing(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await path(rig)
    token = where.rpartition("/")[2]
    payload, _, mac = token.partition(".")
    claim = msgspec.msgpack.encode([rig.id_of("user_id:u-2"), "email", "all", NOW + DAY])
    forged = [
        f"{payload}.{mac[:-1]}A" if mac[-1] != "A" else f"{payload}.{mac[:-1]}B",
        payload,
        f"{payload[:-1]}.{mac}",
        seal(b"another secret", "unsubscribe", claim),
        seal(SECRET, "session", claim),
        "%C3%A9.x",
        ".",
    ]
    for token in forged:
        assert (await press(anybody, f"/v1/unsubscribe/{token}")).status_code == 404
        assert (await anybody.get(f"/v1/unsubscribe/{token}")).status_code == 404
    assert rig.state.ledger == []


async def test_a_link_expires(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await path(rig)
    rig.clock.at += 365 * DAY
    assert (await anybody.get(where)).status_code == 410
    answer = await press(anybody, where)
    assert (answer.status_code, answer.json()["code"]) == (410, "link_expired")
    form, browser = {"List-Unsubscribe": "One-Click"}, {"Accept": "text/html,*/*;q=0.8"}
    page = await anybody.post(where, data=form, headers=browser)
    assert (page.status_code, page.headers["content-type"]) == (410, "text/html; charset=utf-8")
    assert await preferences(rig) == {}


async def test_the_token_names_nobody(rig: Rig) -> None:
    token = (await path(rig)).rpartition("/")[2]
    claim = unseal(SECRET, "unsubscribe", token)
    assert claim is not None
    assert b"u-1" not in claim
    assert b"ann" not in claim


async def test_the_headers_are_those_of_rfc_8058(rig: Rig) -> None:
    current = rig.configuration.current
    links = msgspec.structs.replace(
        current.signals.links, public_url="https://mail.example.org/", mailto="stop@example.org"
    )
    signals = msgspec.structs.replace(current.signals, links=links)
    rig.configuration.current = msgspec.structs.replace(current, signals=signals)
    body = await made(rig, profiles=[ANN, "email:bob@example.org"])
    first, second = body["links"]
    assert (first["profile"], second["profile"]) == (ANN, "email:bob@example.org")
    assert first["url"].startswith("https://mail.example.org/v1/unsubscribe/")
    assert first["url"] != second["url"]
    assert first["headers"] == {
        "List-Unsubscribe": f"<{first['url']}>, <mailto:stop@example.org>",
        "List-Unsubscribe-Post": ONE_CLICK,
    }


async def test_who_may_make_links(rig: Rig) -> None:
    for key, status in [(None, 401), (WRITE, 403), ("auditor-key", 403), (AGENT, 200), ("preference-key", 200)]:
        async with rig.client(key) as client:
            answer = await client.post("/v1/unsubscribe-links", json={"profiles": [ANN]})
            assert answer.status_code == status


async def test_an_unknown_channel_is_refused(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        answer = await client.post("/v1/unsubscribe-links", json={"profiles": [ANN], "channel": "pigeon"})
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_channel")
