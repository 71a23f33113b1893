"""Whom somebody states something about: a misspelt type of identifier is told, and is nobody's withdrawal."""

from typing import Any

import httpx
import pytest

from tests.api.world import WRITE, Rig

REF = "emial:ann@example.org"
NO = {"purposes": {"marketing": False}}
STATED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "change": ("PATCH", "/v1/profiles/{ref}/consent", NO),
    "document": ("PUT", "/v1/profiles/{ref}/consent", NO),
    "string": ("POST", "/v1/consent/gpp", {"profile": "{ref}", "string": "DBABLA~BVQVAAAAAgA.YA"}),
    "opt-in": ("POST", "/v1/consent/opt-in", {"profile": "{ref}", "purposes": ["marketing"]}),
    "unsubscribe": ("POST", "/v1/unsubscribe-links", {"profiles": ["user_id:u-1", "{ref}"], "channel": "email"}),
    "page": ("POST", "/v1/profiles/{ref}/preference-link", {}),
}


async def stated(client: httpx.AsyncClient, way: str, ref: str) -> httpx.Response:
    method, path, body = STATED[way]
    named = {k: [one.replace("{ref}", ref) for one in v] if k == "profiles" else v for k, v in body.items()}
    if "profile" in named:
        named["profile"] = ref
    return await client.request(method, path.replace("{ref}", ref), json=named)


@pytest.mark.parametrize("way", STATED)
async def test_a_misspelt_type_is_told(client: httpx.AsyncClient, way: str) -> None:
    answer = await stated(client, way, REF)
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_identifier_type")
    assert "email" in answer.json()["detail"]
    assert "emial" not in answer.text
    assert "example.org" not in answer.text


@pytest.mark.parametrize("way", STATED)
async def test_a_type_of_the_company_s_own_names_whoever_is_known_under_it(
    rig: Rig, client: httpx.AsyncClient, way: str
) -> None:
    own = {"type": "track", "userId": "u-1", "event": "Paid", "context": {"externalIds": [{"type": "shop", "id": "7"}]}}
    assert (await stated(client, way, "shop:7")).status_code == 400
    async with rig.client() as gateway:
        assert (await gateway.post("/v1/track", json=own, auth=(WRITE, ""))).status_code == 200
    assert (await stated(client, way, "shop:7")).status_code in (200, 201)
    # and one nobody was ever met under counts where its type is configured, or where an answer of ours named it
    assert (await stated(client, way, "user_id:never-seen")).status_code in (200, 201)
    named = (await client.get("/v1/profiles/shop:7")).json()["profile_id"]
    assert (await stated(client, way, f"profile_id:{named}")).status_code in (200, 201)
