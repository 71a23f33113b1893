"""Processes of one installation that start at the same moment on an empty database."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.ports import ApiKey
from infra.ledger_store import SqlKeys, open_database
from infra.ledger_store_consent import open_ledger
from tests.conftest import SQL

TOGETHER, ROUNDS = 4, 5


def _keys(url: str) -> None:
    SqlKeys(open_database(url), lambda: 0).ensure(ApiKey("admin", "admin"), "rk_the_same_for_all")


def _ledger(url: str) -> None:
    open_ledger(url)


def _start(open_one: Callable[[str], None], url: str, barrier: "multiprocessing.synchronize.Barrier") -> None:
    barrier.wait()
    open_one(url)


@pytest.mark.parametrize("kind", SQL)
@pytest.mark.parametrize("open_one", [_keys, _ledger])
def test_all_of_them_find_tables_and_keys(
    open_one: Callable[[str], None], kind: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    for number in range(ROUNDS):
        url = f"sqlite:///{tmp_path / str(number)}.db" if kind == "sqlite" else new_url(kind)
        barrier = context.Barrier(TOGETHER)
        processes = [context.Process(target=_start, args=(open_one, url, barrier)) for _ in range(TOGETHER)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * TOGETHER
