"""Double opt-ins behave the same in memory and in SQL."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.opt_in import CONFIRMED, EXPIRED, PENDING, OptIn, OptIns, token_hash
from infra.ledger_store import open_database
from infra.ledger_store_tokens import SqlOptIns
from infra.memory_opt_ins import MemoryOptIns
from tests.conftest import SQL

TOKEN = token_hash("Zt3vJ1o0QWkq6mS8b2xYd5uH")
ASKED = OptIn("aaaaaaaaaaaaaaaa", ("marketing",), {"email": ("newsletter",)}, "web", "2026-01", 1000, 2000)


@pytest.fixture(params=["memory", *SQL])
def opt_ins(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> OptIns:
    if request.param == "memory":
        return MemoryOptIns()
    return SqlOptIns(open_database(new_url(request.param)))


async def test_what_is_kept_is_found_by_its_hash(opt_ins: OptIns) -> None:
    await opt_ins.add(TOKEN, ASKED)
    assert await opt_ins.find(TOKEN) == ASKED
    assert await opt_ins.find(token_hash("another")) is None


async def test_it_leaves_the_state_pending_once(opt_ins: OptIns) -> None:
    await opt_ins.add(TOKEN, ASKED)
    assert await opt_ins.settle(TOKEN, CONFIRMED, 1500) is True
    assert await opt_ins.settle(TOKEN, EXPIRED, 1600) is False
    found = await opt_ins.find(TOKEN)
    assert found is not None
    assert (found.state, found.settled_at, found.requested_at) == (CONFIRMED, 1500, 1000)
    assert await opt_ins.settle(token_hash("another"), CONFIRMED, 1) is False


async def test_a_second_process_finds_it_and_an_erasure_removes_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'rapport.db'}"
    await SqlOptIns(open_database(url)).add(TOKEN, ASKED)
    assert b"Zt3vJ1o0" not in (tmp_path / "rapport.db").read_bytes()
    second = SqlOptIns(open_database(url))
    found = await second.find(TOKEN)
    assert found is not None
    assert found.state == PENDING
    assert second.erase(["bbbbbbbbbbbbbbbb"]) == 0
    assert second.erase([ASKED.identity]) == 1
    assert await second.find(TOKEN) is None
