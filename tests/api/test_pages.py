"""The pages without a browser: sign-in, session, CSRF, headers, and what their parts show."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.session import COOKIE
from infra.model_store import ModelStore
from tests.api.seed import ANN, decide, grant, seed
from tests.api.world import ADMIN, AGENT, WRITE, Rig


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    made = Rig(models=ModelStore(tmp_path))
    await seed(made)
    return made


@pytest.fixture
async def page(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with rig.client() as opened:
        yield opened


async def sign_in(page: httpx.AsyncClient, key: str = AGENT, place: str = "/desk") -> str:
    """Sign in; returns the CSRF token of the page it leads to."""
    answer = await page.post("/sign-in", data={"key": key, "next": place}, follow_redirects=True)
    found = re.search(r'name="csrf" content="([^"]+)"', answer.text)
    assert found, answer.text
    return found.group(1)


@pytest.mark.parametrize("path", ["/desk", "/console", "/decision/whatever"])
async def test_nothing_is_shown_without_a_session(page: httpx.AsyncClient, path: str) -> None:
    answer = await page.get(path)
    assert answer.status_code == 401
    assert "Sign in" in answer.text
    assert f'value="{path}"' in answer.text


async def test_signing_in_leads_back_and_the_cookie_is_closed_to_scripts(page: httpx.AsyncClient) -> None:
    answer = await page.post("/sign-in", data={"key": AGENT, "next": "/console"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert AGENT not in cookie


@pytest.mark.parametrize("place", ["https://elsewhere.example", "//elsewhere.example", "/v1/keys", ""])
async def test_signing_in_leads_nowhere_else(page: httpx.AsyncClient, place: str) -> None:
    answer = await page.post("/sign-in", data={"key": AGENT, "next": place})
    assert answer.headers["location"] == "/desk"


@pytest.mark.parametrize("key", ["", "wrong", WRITE, "preference-key"])
async def test_a_key_that_is_not_for_people_stays_outside(page: httpx.AsyncClient, key: str) -> None:
    answer = await page.post("/sign-in", data={"key": key})
    assert answer.status_code == 401
    assert "no valid API key" in answer.text
    assert COOKIE not in answer.headers.get("set-cookie", "")


async def test_every_page_forbids_foreign_and_inline_code(page: httpx.AsyncClient) -> None:
    await sign_in(page)
    for path in ("/desk", "/console", "/decision/none", "/assets/desk.js"):
        answer = await page.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "style=" not in answer.text
        assert not re.search(r"<script(?! src=\"/assets/)", answer.text)


async def test_the_desk_shows_the_customer_through_the_gate(rig: Rig, page: httpx.AsyncClient) -> None:
    token = {"X-CSRF-Token": await sign_in(page)}
    before = (await page.post("/desk/customer", json={"profile": "email:ann@example.org"}, headers=token)).text
    assert "Ann Example" in before
    assert "family" not in before
    assert "held back" in before
    async with rig.client(ADMIN) as admin:
        await grant(admin, "personalization")
    after = (await page.post("/desk/customer", json={"profile": ANN}, headers=token)).text
    assert "family" in after


async def test_the_desk_says_of_restricted_data_that_it_is(rig: Rig, page: httpx.AsyncClient) -> None:
    token = {"X-CSRF-Token": await sign_in(page)}
    async with rig.client(ADMIN) as admin:
        await admin.patch(f"/v1/profiles/{ANN}/consent", json={"restricted": True})
    part = (await page.post("/desk/customer", json={"profile": ANN}, headers=token)).text
    assert "<h2>Restricted</h2>" in part
    assert "The person's data is restricted." in part
    assert "What has happened is not shown: the person&#39;s data is restricted." in part
    assert 'class="yes"' not in part
    part = (await page.post("/desk/actions", json={"profile": ANN}, headers=token)).text
    assert "the person&#39;s data is restricted" in part
    assert "is granted" not in part


async def test_the_desk_decides_and_reports_with_its_session(rig: Rig, page: httpx.AsyncClient) -> None:
    token = {"X-CSRF-Token": await sign_in(page)}
    part = await page.post("/desk/actions", json={"profile": ANN, "context": {"reason": "billing"}}, headers=token)
    decision = re.search(r'data-decision="([^"]+)"', part.text)
    action = re.search(r'data-action="([^"]+)"', part.text)
    assert decision
    assert action
    report = {"decision_id": decision.group(1), "action_id": action.group(1), "outcome": "presented"}
    assert (await page.post("/v1/outcomes", json=report, headers=token)).status_code == 200
    permalink = await page.get(f"/decision/{decision.group(1)}")
    assert permalink.status_code == 200
    for part_of_it in ("Answered", "Known", "Used", "Masked", "Blocked"):
        assert part_of_it in permalink.text


def replay_line(page: str) -> str:
    """What the page of a decision says about its replay."""
    found = re.search(r"<dt>Replayed</dt><dd><span[^>]*>([^<]+)</span>", page)
    assert found, page
    return found.group(1)


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("auditor-key", "identical", "identical"),
        ("engineer-key", "identical", "not replayed: the person withdrew since"),
        (ADMIN, "identical", "not replayed: the person withdrew since"),
        (AGENT, "not replayed: a key with the role agent may not", "not replayed: a key with the role agent may not"),
        ("marketer-key", "not replayed: a key with the role marketer", "not replayed: a key with the role marketer"),
    ],
)
async def test_the_page_of_a_decision_replays_it_for_nobody_whom_the_api_refuses(
    rig: Rig, page: httpx.AsyncClient, key: str, before: str, after: str
) -> None:
    async with rig.client(ADMIN) as admin:
        await grant(admin, "personalization")
        made = (await decide(admin))["decision_id"]
        await sign_in(page, key)
        async with rig.client(key) as asking:
            assert replay_line((await page.get(f"/decision/{made}")).text).startswith(before)
            allowed = (await asking.post(f"/v1/decisions/{made}/replay")).status_code == 200
            assert allowed == (before == "identical")
            await admin.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"personalization": False}})
            shown = await page.get(f"/decision/{made}")
            assert shown.status_code == 200
            assert replay_line(shown.text).startswith(after)
            allowed = (await asking.post(f"/v1/decisions/{made}/replay")).status_code == 200
            assert allowed == (after == "identical")


@pytest.mark.parametrize("path", ["/desk/customer", "/desk/actions", "/v1/outcomes"])
@pytest.mark.parametrize("token", [{}, {"X-CSRF-Token": "made up"}])
async def test_a_change_needs_the_pages_own_token(page: httpx.AsyncClient, path: str, token: dict[str, str]) -> None:
    await sign_in(page)
    answer = await page.post(path, json={"profile": ANN}, headers=token)
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf")


async def test_what_a_customer_wrote_is_text_and_no_markup(rig: Rig, page: httpx.AsyncClient) -> None:
    traits = {"name": "<script>alert(1)</script>", "plan": '"><img src=x>'}
    async with rig.client() as writer:
        await writer.post("/v1/identify", json={"userId": "x-1", "traits": traits}, auth=(WRITE, ""))
    token = {"X-CSRF-Token": await sign_in(page)}
    part = await page.post("/desk/customer", json={"profile": "user_id:x-1"}, headers=token)
    assert "<script>" not in part.text
    assert "<img" not in part.text
    assert "&lt;script&gt;" in part.text


async def test_a_revoked_key_ends_its_session(rig: Rig, page: httpx.AsyncClient) -> None:
    await sign_in(page)
    assert (await page.get("/desk")).status_code == 200
    rig.keys.revoke("desk")
    assert (await page.get("/desk")).status_code == 401


async def test_a_session_runs_out(rig: Rig, page: httpx.AsyncClient) -> None:
    await sign_in(page)
    rig.clock.at += 9 * 3600 * 1000
    assert (await page.get("/desk")).status_code == 401


async def test_signing_out_needs_the_token_and_ends_the_session(page: httpx.AsyncClient) -> None:
    token = await sign_in(page)
    assert (await page.post("/sign-out", data={"csrf": "made up"})).status_code == 403
    assert (await page.post("/sign-out", data={"csrf": token})).status_code == 303
    assert (await page.get("/desk")).status_code == 401


async def test_an_unknown_decision_has_a_page_of_its_own(page: httpx.AsyncClient) -> None:
    await sign_in(page)
    answer = await page.get("/decision/none")
    assert answer.status_code == 404
    assert "No such decision" in answer.text


async def test_a_decision_about_somebody_erased_has_one_too(page: httpx.AsyncClient, rig: Rig) -> None:
    async with rig.client(ADMIN) as admin:
        made = (await decide(admin))["decision_id"]
        await admin.delete(f"/v1/profiles/{ANN}")
    await sign_in(page)
    answer = await page.get(f"/decision/{made}")
    assert answer.status_code == 410
    assert "The person this decision was about was erased. Nothing of it is kept." in answer.text


async def test_the_console_names_what_serves_and_what_is_wrong(rig: Rig, page: httpx.AsyncClient) -> None:
    await sign_in(page, ADMIN, "/console")
    rig.health.found["kafka"] = "does not answer"
    answer = await page.get("/console")
    assert answer.status_code == 200
    assert "does not answer" in answer.text
    assert "complaint_follow_up" in answer.text
    rig.health.warned["rules"] = "the state was made with other rules"
    assert "made with other rules" in (await page.get("/console")).text


async def test_the_reference_lists_every_operation_and_loads_nothing_from_elsewhere(
    rig: Rig, page: httpx.AsyncClient
) -> None:
    answer = await page.get("/docs")
    assert answer.status_code == 200
    assert all(path in answer.text for path in rig.app.openapi()["paths"])
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http://" not in answer.text
    assert "https://" not in answer.text


@pytest.mark.parametrize("name", ["../session.py", "nonsense", "rapport.css%00"])
async def test_only_our_own_assets_are_served(page: httpx.AsyncClient, name: str) -> None:
    assert (await page.get(f"/assets/{name}")).status_code == 404
    assert (await page.get("/assets/rapport.css")).headers["content-type"].startswith("text/css")
