"""What is asked while others are being answered is answered together: one read, one call of the model and one append
for all of them cost much less than for each. Whoever comes while nobody is at work waits for nobody. Knows nothing of
what is asked."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from engine.ports import Unavailable
from infra.beside import give

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
MOST = 8


class Together(Generic[Ask, Answer]):
    """Hands `work` what is asked, at most `MOST` at a time and one call after the other; `work` gives one answer for
    each, in order. A server that is away is away for everybody; any other failure stays with the one whose it is."""

    def __init__(self, work: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer]]]) -> None:
        self._work = work
        self._working = False
        self._waiting: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._call: asyncio.Task[None] | None = None

    async def ask(self, one: Ask) -> Answer:
        """The answer to this one. Raises whatever `work` raises for it."""
        if self._working:
            answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._waiting.append((one, answered))
            return await answered
        self._working = True
        try:
            return (await self._work([one]))[0]
        finally:
            self._go_on()

    def _go_on(self) -> None:
        """Those who wait longest are next, if anybody does."""
        taken, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        self._working = bool(taken)
        if taken:
            # a task of its own: nobody's going away may end what others wait for
            self._call = asyncio.create_task(self._answer(taken))

    async def _answer(self, taken: Sequence[tuple[Ask, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._work([one for one, _ in taken])
        except Unavailable as error:
            for _, answered in taken:
                give(answered, error)
        # the one broad catch here: whatever it is, it belongs to whoever brought it about
        except Exception as error:  # noqa: BLE001
            await self._alone(taken, error)
        else:
            for (_, answered), answer in zip(taken, answers, strict=True):
                give(answered, answer)
        finally:
            for _, answered in taken:
                answered.cancel()
            self._go_on()

    async def _alone(self, taken: Sequence[tuple[Ask, asyncio.Future[Answer]]], error: Exception) -> None:
        """Each by itself, after they failed together."""
        if len(taken) == 1:
            give(taken[0][1], error)
            return
        for one, answered in taken:
            try:
                give(answered, (await self._work([one]))[0])
            except Exception as own:  # noqa: BLE001 reason: handed to whoever asked
                give(answered, own)
