"""Who goes first on a process's one loop: a customer's no passes decisions that are not made yet. Knows time; nothing
of what is decided or said."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

# withdrawals without end must not keep decisions from being made: never longer at a time, and then not for half as long
LONGEST_SECONDS = 0.1
REST = 0.5


class Way:
    """Closed to decisions while somebody passes."""

    def __init__(self) -> None:
        self.closed = False
        self._passing = 0
        self._since = self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._opening: asyncio.Event = asyncio.Event()

    async def clear(self) -> None:
        """Lets whoever is at the door in, and returns when nobody passes."""
        await asyncio.sleep(0)
        while self.closed:
            await self._opening.wait()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Whoever runs the block passes, together with those who already do."""
        loop = asyncio.get_running_loop()
        if not self.closed and loop.time() >= self._not_before:
            self.closed, self._since = True, loop.time()
            self._opening.clear()
            self._timer = loop.call_later(LONGEST_SECONDS, self._open)
        self._passing += 1
        try:
            yield
        finally:
            self._passing -= 1
            if not self._passing:
                self._open()

    def _open(self) -> None:
        if not self.closed:
            return
        now = asyncio.get_running_loop().time()
        self.closed, self._not_before = False, now + REST * (now - self._since)
        if self._timer is not None:
            self._timer.cancel()
        self._opening.set()
