"""OpenDSR with several controllers on one installation: each reaches its own requests and nobody else's."""

from dataclasses import replace

import pytest

from engine.ports import ApiKey
from infra.memory_ports import MemoryKeys
from tests.api.test_opendsr import ID, KEY, PLACE, asked, carried_out, seeded, status
from tests.api.world import ADMIN, KEYS, Rig

OTHERS = "other-preference-key"
CALLED = "https://controller.example/status"


async def shared() -> Rig:
    """An installation with a second controller of the same role."""
    rig = await seeded()
    keys = MemoryKeys({**KEYS, OTHERS: ApiKey("another-shop", "preference_center", ("service",))})
    rig.world = replace(rig.world, keys=keys)
    return rig


@pytest.mark.parametrize("kind", ["erasure", "access"])
async def test_another_controllers_request_is_unknown(kind: str) -> None:
    rig = await shared()
    async with rig.client(KEY) as mine, rig.client(OTHERS) as theirs:
        await mine.post(PLACE, json=asked(kind))
        unknown = await theirs.get(f"{PLACE}/b7551968-d5d6-44b2-9831-815ac9017798")
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/results")):
            answer = await theirs.request(method, f"{PLACE}/{ID}{path}")
            assert (answer.status_code, answer.content) == (404, unknown.content)
        assert await status(mine) == "pending"
        assert await carried_out(rig) == 1
        assert (await theirs.get(f"{PLACE}/{ID}/results")).status_code == 404
        assert await status(mine) == "completed"


async def test_another_controllers_id_is_taken_and_nobody_else_is_called_about_it() -> None:
    rig = await shared()
    async with rig.client(KEY) as mine, rig.client(OTHERS) as theirs:
        await mine.post(PLACE, json=asked())
        answer = await theirs.post(PLACE, json=asked(status_callback_urls=[CALLED]))
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (409, "subject_request_id_taken")
    assert rig.callbacks.kept == {}


async def test_an_admin_reaches_every_controllers_request() -> None:
    rig = await shared()
    async with rig.client(KEY) as mine, rig.client(ADMIN) as admin:
        await mine.post(PLACE, json=asked("access"))
        told = (await admin.get(f"{PLACE}/{ID}")).json()
        assert (told["controller_id"], told["request_status"]) == ("preferences", "pending")
        await carried_out(rig)
        assert (await admin.get(f"{PLACE}/{ID}/results")).status_code == 200
        await mine.post(PLACE, json=asked("access", subject_request_id="c7551968-d5d6-44b2-9831-815ac9017798"))
        place = f"{PLACE}/c7551968-d5d6-44b2-9831-815ac9017798"
        assert (await admin.delete(place)).status_code == 202
        assert (await mine.get(place)).json()["request_status"] == "cancelled"
