"""The installation that most HTTP tests ask, and who asks: somebody with the admin's key, or with none."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.seed import seed
from tests.api.world import ADMIN, Rig


@pytest.fixture
async def rig() -> Rig:
    made = Rig()
    await seed(made)
    return made


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with rig.client(ADMIN) as opened:
        yield opened


@pytest.fixture
async def anybody(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with rig.client() as opened:
        yield opened
