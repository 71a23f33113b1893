"""Work that goes on beside whoever began it, and what is given to those who wait for it. Knows the loop; nothing of the
work."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Beside:
    """Tasks nobody waits for before `end`: the loop itself keeps none of them alive."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Returns when what was begun is done."""
        await asyncio.gather(*self._tasks)


def give(waiting: asyncio.Future[T], found: T | Exception) -> None:
    """What was found, or raised, to whoever waits for it and has not gone away."""
    if waiting.done():
        return
    if isinstance(found, Exception):
        waiting.set_exception(found)
    else:
        waiting.set_result(found)
