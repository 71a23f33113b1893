"""A transaction of the ledger that is made while the refusals in it are on their way into the serving keys, and ends
only once they count: the loop knows when they do, a thread waits for it. Knows futures and time; nothing of rows."""

import asyncio
import concurrent.futures
from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from engine.consent import Held
from infra.beside import give

Wanted = TypeVar("Wanted")
Answer = dict[str, Held] | Exception
Gate = concurrent.futures.Future[None]
# so long a transaction stays open for refusals that do not count yet; they mostly do by the time its rows are made
PATIENCE_SECONDS = 0.05


class NotYet(Exception):
    """Some refusal of a transaction does not count yet, or never will: nothing of it is written."""


class Waiting(msgspec.Struct, Generic[Wanted], frozen=True, eq=False):
    """A commit that somebody waits for; `counting` ends when its refusals count, where there are any."""

    wanted: Wanted
    answered: asyncio.Future[dict[str, Held]]
    counting: asyncio.Future[None] | None

    @property
    def ready(self) -> bool:
        """Whether nothing of it is on its way any more."""
        if self.counting is None:
            return True
        return self.counting.done() and not self.counting.cancelled() and self.counting.exception() is None


def gate_of(batch: Sequence[Waiting[Wanted]]) -> Gate | None:
    """What a thread can wait for: the end of everything that must count first; None where nothing must."""
    counting = [one.counting for one in batch if one.counting is not None and not one.ready]

    async def ended() -> None:
        await asyncio.gather(*counting)

    return asyncio.run_coroutine_threadsafe(ended(), asyncio.get_running_loop()) if counting else None


def go_through(gate: Gate | None) -> None:
    """Returns when all of it counts. Raises `NotYet` where that takes too long to keep a transaction open for."""
    try:
        if gate is not None:
            gate.result(PATIENCE_SECONDS)
    # whatever it is, it belongs to whoever waits for it
    except Exception as error:
        raise NotYet from error


async def counts(one: Waiting[Wanted]) -> bool:
    """Whether what a commit says counts, however long that takes; who asked for it is told why it never will."""
    try:
        if one.counting is not None:
            await one.counting
    except Exception as error:  # noqa: BLE001 reason: handed to whoever asked
        give(one.answered, error)
        return False
    return True
