"""What is asked meanwhile is answered together, in order, and nobody pays for another's failure or going away."""

import asyncio
from collections.abc import Sequence

import pytest

from api.together import MOST, Together
from engine.ports import Unavailable

UNLUCKY = -1


class Desk:
    """Doubles numbers while its door is open; keeps what each call was handed."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.door = asyncio.Event()
        self.away = False

    async def work(self, asked: Sequence[int]) -> list[int]:
        self.calls.append(list(asked))
        await self.door.wait()
        if self.away:
            raise Unavailable("away")
        if UNLUCKY in asked:
            raise ZeroDivisionError("unlucky")
        return [2 * one for one in asked]


async def asked(desk: Desk, numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    together: Together[int, int] = Together(desk.work)
    tasks = [asyncio.create_task(together.ask(number)) for number in numbers]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_the_first_waits_for_nobody_and_the_others_go_together() -> None:
    desk = Desk()
    tasks = await asked(desk, range(4))
    assert desk.calls == [[0]]
    desk.door.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6]
    assert desk.calls == [[0], [1, 2, 3]]


async def test_many_go_in_turns_and_order_is_kept() -> None:
    desk = Desk()
    tasks = await asked(desk, range(3 * MOST))
    desk.door.set()
    assert await asyncio.gather(*tasks) == [2 * n for n in range(3 * MOST)]
    assert [len(call) for call in desk.calls] == [1, MOST, MOST, MOST - 1]


async def test_a_failure_stays_with_the_one_whose_it_is() -> None:
    desk = Desk()
    tasks = await asked(desk, (1, 2, UNLUCKY, 3))
    desk.door.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [found[0], found[1], found[3]] == [2, 4, 6]
    assert isinstance(found[2], ZeroDivisionError)
    assert desk.calls == [[1], [2, UNLUCKY, 3], [2], [UNLUCKY], [3]]


async def test_one_alone_fails_once_and_the_next_is_served() -> None:
    desk = Desk()
    desk.door.set()
    together: Together[int, int] = Together(desk.work)
    with pytest.raises(ZeroDivisionError):
        await together.ask(UNLUCKY)
    assert await together.ask(2) == 4
    assert desk.calls == [[UNLUCKY], [2]]


async def test_a_server_that_is_away_is_away_for_all_of_them_at_once() -> None:
    desk = Desk()
    tasks = await asked(desk, (1, 2, 3))
    desk.away = True
    desk.door.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, Unavailable) for one in found)
    assert desk.calls == [[1], [2, 3]]


async def test_who_goes_away_takes_nobody_along() -> None:
    desk = Desk()
    tasks = await asked(desk, (1, 2, 3))
    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.sleep(0)
    desk.door.set()
    assert await tasks[2] == 6
    assert tasks[0].cancelled()
    assert tasks[1].cancelled()
