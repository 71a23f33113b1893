"""API keys over HTTP: made, used, revoked."""

import httpx
import pytest

from tests.api.seed import ANN
from tests.api.world import Rig


async def test_a_key_works_from_making_to_revoking(rig: Rig, client: httpx.AsyncClient) -> None:
    made = await client.post("/v1/keys", json={"name": "desk-berlin", "role": "agent", "purposes": ["service"]})
    assert made.status_code == 201
    async with rig.client(made.json()["secret"]) as agent:
        assert (await agent.get(f"/v1/profiles/{ANN}")).status_code == 200
        assert (await agent.get("/v1/keys")).status_code == 403
        assert (await client.delete("/v1/keys/desk-berlin")).status_code == 204
        assert (await agent.get(f"/v1/profiles/{ANN}")).status_code == 401
    assert (await client.delete("/v1/keys/desk-berlin")).status_code == 404
    assert [note[1:] for note in rig.keys.notes] == [
        ("key made", "desk-berlin as agent"),
        ("key revoked", "desk-berlin"),
    ]


async def test_a_write_key_carries_its_source(rig: Rig, client: httpx.AsyncClient) -> None:
    made = (await client.post("/v1/keys", json={"name": "shop-2", "role": "write"})).json()
    async with rig.client() as writer:
        event = {"userId": "u-9", "event": "Hello"}
        assert (await writer.post("/v1/track", json=event, auth=(made["secret"], ""))).status_code == 200
    assert [e.source for e in rig.events()][-1] == "shop-2"


async def test_no_secret_is_ever_listed(client: httpx.AsyncClient) -> None:
    made = (await client.post("/v1/keys", json={"name": "quiet", "role": "auditor"})).json()
    listed = await client.get("/v1/keys")
    assert "quiet" in {key["name"] for key in listed.json()["keys"]}
    assert made["secret"] not in listed.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "x", "role": "king"}, 400),
        ({"name": "x", "role": "agent", "purposes": ["world_domination"]}, 400),
        ({"name": "first-admin", "role": "agent"}, 409),
        ({"name": "Über", "role": "agent"}, 422),
        ({"role": "agent"}, 422),
    ],
)
async def test_an_unusable_key_is_refused(client: httpx.AsyncClient, body: dict[str, object], status: int) -> None:
    assert (await client.post("/v1/keys", json=body)).status_code == status


async def test_nobody_locks_themselves_out(client: httpx.AsyncClient) -> None:
    assert (await client.delete("/v1/keys/first-admin")).status_code == 409
