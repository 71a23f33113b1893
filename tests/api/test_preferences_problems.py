"""What a person reads at the preference page where something does not go: a page in their language, in no cache."""

import logging
from dataclasses import replace

import httpx
import pytest

from infra.redis_store import RedisPeople, connect
from tests.api.seed import ANN, link
from tests.api.world import Rig

DAY = 86_400_000
PRIVATE = {"cache-control": "no-store", "referrer-policy": "no-referrer"}


def is_a_page(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert PRIVATE.items() <= dict(answer.headers).items()
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for one in words:
        assert one in answer.text


@pytest.mark.parametrize("part", ["", "/data", "/deletion", "/deletion/01K0000000000000000000000B"])
async def test_a_link_that_opens_nothing_is_told_as_a_page(rig: Rig, anybody: httpx.AsyncClient, part: str) -> None:
    where = await link(rig)
    german = {"Accept-Language": "de"}
    forged = await anybody.get(f"{where}x{part}", headers=german)
    is_a_page(forged, 404, "Dieser Link ist ungültig", "Es wurde nichts geändert")
    is_a_page(await anybody.get(f"/preferences/{'a' * 2000}{part}"), 404, "This link is not valid")
    rig.clock.at += 15 * DAY
    late = await anybody.get(f"{where}{part}", headers=german)
    is_a_page(late, 410, '<html lang="de">', "Dieser Link ist abgelaufen", "Es wurde nichts geändert")


@pytest.mark.parametrize("path", ["/preferences/", "/preferences/a/b/c", "/preferences/a/"])
async def test_a_link_that_was_cut_off_is_told_as_a_page(anybody: httpx.AsyncClient, path: str) -> None:
    is_a_page(await anybody.get(path), 404, "This link is not valid")


async def test_an_expired_link_changes_and_deletes_nothing(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = await link(rig)
    fields = {"kind": "channel", "name": "email:all", "wanted": "no"}
    rig.clock.at += 15 * DAY
    before = len(list(rig.events()))
    is_a_page(await anybody.post(where, data=fields), 410, "This link has expired")
    is_a_page(await anybody.post(f"{where}/deletion"), 410, "This link has expired")
    assert (rig.state.ledger, len(list(rig.events()))) == ([], before)


async def test_a_form_that_is_none_of_the_pages_is_told_as_a_page(rig: Rig, anybody: httpx.AsyncClient) -> None:
    where = f"{await link(rig)}?lang=de"
    is_a_page(
        await anybody.post(where, data={"kind": "purpose", "name": "nonsense"}), 400, "Das hat nicht funktioniert"
    )
    broken = await anybody.post(
        where, content=b"--x\r\nnonsense", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    is_a_page(broken, 400, "Das hat nicht funktioniert", "Zurück zu meinen Entscheidungen")
    too_much = {"kind": "x" * 9000}
    is_a_page(await anybody.post(where, data=too_much), 400, "Es wurde nichts geändert")
    refused = await anybody.post(where, data={"kind": "purpose", "name": "service", "wanted": "no"})
    is_a_page(refused, 409, "Für unseren Vertrag mit Ihnen nötig")
    assert rig.state.ledger == []


@pytest.mark.parametrize("part", ["", "/data"])
async def test_a_store_that_is_away_is_told_as_a_page(rig: Rig, part: str) -> None:
    where = await link(rig)
    gone = connect("redis://127.0.0.1:1/0")
    rig.world = replace(rig.world, people=RedisPeople(gone, 8))
    async with rig.client() as client:
        answer = await client.get(f"{where}{part}?lang=de")
    await gone.aclose()
    is_a_page(answer, 503, "Das geht gerade nicht")
    assert answer.headers["retry-after"].isdigit()


async def test_what_nobody_expected_is_told_as_a_page_and_logged_without_its_text(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, mail = await link(rig), "ann@example.org"

    async def broken(_identity: str) -> None:
        raise RuntimeError(mail)

    monkeypatch.setattr(rig.world.people, "person", broken)
    with caplog.at_level(logging.ERROR, "rapport.api"):
        async with rig.client() as client:
            is_a_page(await client.get(f"{where}?lang=de"), 500, "Das geht gerade nicht")
    assert "RuntimeError in /preferences/{token}, trace" in caplog.text
    assert mail not in caplog.text


async def test_the_copy_is_kept_by_no_cache(rig: Rig, anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get(f"{await link(rig)}/data")
    assert answer.status_code == 200
    assert PRIVATE.items() <= dict(answer.headers).items()


async def test_problems_of_machines_stay_documents(rig: Rig, anybody: httpx.AsyncClient) -> None:
    answer = await anybody.post(f"/v1/profiles/{ANN}/preference-link")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
