"""Models over HTTP: listed, promoted through the gate, rolled back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.model_store import ModelStore
from models.scorer import CARD_FILE, ModelError
from tests.api.world import NOW, Rig

FIRST, SECOND = "m20260101-000000-aaaaaaaa", "m20260201-000000-bbbbbbbb"


def card(version: str, created: int) -> dict[str, bytes]:
    said = {"version": version, "created": created, "metrics": {"auc": 0.7}, "counts": {"judge": 120}, "columns": {}}
    return {CARD_FILE: json.dumps(said).encode()}


class Gatekeeper:
    """Stands where the archive would be judged: agrees for the versions it was told are better."""

    def __init__(self, store: ModelStore, better: set[str]) -> None:
        self.store = store
        self.better = better

    async def __call__(self, version: str, force: bool) -> Mapping[str, Any]:
        if version == "unjudged":
            raise ModelError("there are no decisions to judge it on")
        promoted = version in self.better or force
        if promoted:
            self.store.promote(version, NOW, {"code": "better"})
        code = "better" if promoted else "not_better"
        return {"promoted": promoted, "code": code, "text": f"it is {code}", "numbers": {"low": 0.1}}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    store = ModelStore(tmp_path)
    store.save(FIRST, card(FIRST, NOW - 2000))
    store.save(SECOND, card(SECOND, NOW - 1000))
    return Rig(models=store, promote=Gatekeeper(store, {FIRST}))


async def test_without_a_champion_the_assumed_rates_serve(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/models")).json()
    assert (body["champion"], body["serving"]) == (None, "prior")
    assert [m["version"] for m in body["models"]] == [SECOND, FIRST]
    assert body["models"][0]["metrics"] == {"auc": 0.7}


async def test_a_better_model_serves_and_can_be_rolled_back(client: httpx.AsyncClient) -> None:
    done = await client.post(f"/v1/models/{FIRST}/promote")
    assert (done.status_code, done.json()["promoted"]) == (200, True)
    body = (await client.get("/v1/models")).json()
    assert body["champion"] == FIRST
    assert [(h["event"], h["version"]) for h in body["history"]] == [("promoted", FIRST)]
    assert (await client.get(f"/v1/models/{FIRST}")).json()["champion"] is True
    assert (await client.post("/v1/models/rollback")).json() == {"version": None}
    again = await client.post("/v1/models/rollback")
    assert (again.status_code, again.json()["code"]) == (409, "nothing_before")


async def test_a_model_that_is_not_surely_better_is_refused_with_numbers(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/v1/models/{SECOND}/promote")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_better")
    assert answer.json()["errors"] == [{"low": 0.1}]
    assert (await client.get("/v1/models")).json()["champion"] is None


async def test_a_model_that_cannot_be_judged_is_refused(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.models.save("unjudged", card("unjudged", NOW))
    answer = await client.post("/v1/models/unjudged/promote")
    assert (answer.status_code, answer.json()["code"]) == (409, "cannot_judge")


@pytest.mark.parametrize("version", ["nonsense", "..", ".hidden", "%2e%2e"])
async def test_an_unknown_version_is_not_found(client: httpx.AsyncClient, version: str) -> None:
    for answer in (
        await client.get(f"/v1/models/{version}x"),
        await client.post(f"/v1/models/{version}x/promote"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")


@pytest.mark.parametrize(
    ("key", "reads", "edits"),
    [("engineer-key", 200, 409), ("marketer-key", 200, 403), ("agent-key", 403, 403)],
)
async def test_who_may_read_and_change_models(rig: Rig, key: str, reads: int, edits: int) -> None:
    async with rig.client(key) as client:
        assert (await client.get("/v1/models")).status_code == reads
        assert (await client.post("/v1/models/rollback")).status_code == edits
