"""Whoever withdraws goes first: decisions that are not made yet wait, for a while and not for ever."""

import asyncio

import pytest

from api import way as module
from api.way import Way
from tests.api.seed import ANN, decide, seed
from tests.api.world import ADMIN, Rig


async def test_nobody_waits_while_nobody_passes() -> None:
    way = Way()
    async with asyncio.timeout(1):
        await way.clear()


async def test_decisions_wait_until_all_have_passed() -> None:
    way, order = Way(), list[str]()

    async def decision() -> None:
        await way.clear()
        order.append("decision")

    with way.first():
        waiting = asyncio.create_task(decision())
        with way.first():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        order.append("withdrawal")
    await waiting
    assert order == ["withdrawal", "decision"]


async def test_it_opens_again_although_somebody_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.01)
    way = Way()
    async with asyncio.timeout(5):
        with way.first():
            await way.clear()
            # and is not closed again at once by the next
            with way.first():
                assert not way.closed


async def test_it_closes_again_after_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST", 0.0)
    way = Way()
    for _ in range(2):
        with way.first():
            assert way.closed
        assert not way.closed


async def test_a_withdrawal_passes_a_decision_that_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_SECONDS", 60.0)
    rig = Rig()
    await seed(rig)
    async with rig.client(ADMIN) as client:
        with rig.world.way.first():
            deciding = asyncio.create_task(decide(client, ANN))
            await asyncio.sleep(0.02)
            answer = await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"marketing": False}})
            assert answer.status_code == 200
            assert not deciding.done()
        assert (await deciding)["decision_id"]
