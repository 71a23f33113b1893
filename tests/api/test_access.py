"""Who may ask what: keys, roles and the pages' sessions."""

from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends

from api.deps import require
from api.session import COOKIE, LIFETIME_MS, Session, csrf_token, seal, unseal
from engine.ports import ApiKey
from tests.api.world import KEYS, NOW, SECRET, WRITE, Rig

router = APIRouter()


@router.get("/agents")
@router.post("/agents")
async def agents(key: Annotated[ApiKey, Depends(require("agent"))]) -> str:
    return key.name


@router.get("/auditors")
async def auditors(key: Annotated[ApiKey, Depends(require("auditor"))]) -> str:
    return key.name


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    app = rig.app
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://rapport") as opened:
        yield opened


@pytest.mark.parametrize("secret", KEYS)
async def test_each_role_reaches_what_is_its_own(client: httpx.AsyncClient, secret: str) -> None:
    role = KEYS[secret].role
    for path, allowed in (("/agents", {"agent", "admin"}), ("/auditors", {"auditor"})):
        by_key = await client.get(path, headers={"X-API-Key": secret})
        by_bearer = await client.get(path, headers={"Authorization": f"Bearer {secret}"})
        expected = 200 if role in allowed else 403
        assert (by_key.status_code, by_bearer.status_code) == (expected, expected)
    assert (await client.get("/agents", headers={"X-API-Key": WRITE})).json()["code"] == "insufficient_role"


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": "Basic YWdlbnQta2V5Og=="}])
async def test_without_a_valid_key_nobody_is_let_in(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.get("/agents", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def cookie(until: int = NOW + 1000, key: str = "desk") -> str:
    return seal(SECRET, Session(key, until))


async def test_a_session_reads_and_changes_only_with_its_token(client: httpx.AsyncClient) -> None:
    sealed = cookie()
    client.cookies.set(COOKIE, sealed)
    good = {"X-CSRF-Token": csrf_token(SECRET, sealed)}
    other = {"X-CSRF-Token": csrf_token(SECRET, cookie(NOW + 1))}
    assert (await client.get("/agents")).json() == "desk"
    assert (await client.post("/agents")).json()["code"] == "csrf"
    assert (await client.post("/agents", headers=other)).status_code == 403
    assert (await client.post("/agents", headers=good)).status_code == 200


@pytest.mark.parametrize(
    "value", [cookie(until=NOW), cookie()[:-1], f"{cookie()}x", "", ".", "nonsense", cookie(key="gone")]
)
async def test_a_session_that_is_over_forged_or_of_no_key_is_none(client: httpx.AsyncClient, value: str) -> None:
    client.cookies.set(COOKIE, value)
    assert (await client.get("/agents")).status_code == 401


async def test_revoking_a_key_ends_its_sessions(rig: Rig, client: httpx.AsyncClient) -> None:
    client.cookies.set(COOKIE, cookie())
    rig.keys.revoke("desk")
    assert (await client.get("/agents")).status_code == 401


def test_a_cookie_of_another_installation_is_nobodys() -> None:
    assert unseal(SECRET, cookie(), NOW) == Session("desk", NOW + 1000)
    assert unseal(b"another secret", cookie(), NOW) is None
    assert LIFETIME_MS > 0
