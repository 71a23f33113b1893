"""What every station's loop needs: retry in place, and a way out that loses nothing. Knows no station."""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, ParamSpec, TypeVar

from engine.ports import Unavailable
from infra.redis_store import FAILURES

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("rapport.stream")
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
EXIT_CODE = 70


class Fatal(Exception):
    """The worker must stop: going on could lose or double something."""


async def persist(call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call until it succeeds. I/O errors are never a reason to leave a record behind; they are waited out."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await call(*args, **kwargs)
        except (*FAILURES, Unavailable) as error:
            log.warning("waiting for a server: %s; again in %.2f s", type(error).__name__, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def give_up(station: str, error: BaseException) -> NoReturn:
    """End the process at once: Redis has the truth, and whatever was not written will be read again."""
    detail = str(error) if isinstance(error, Fatal) else f"{type(error).__name__} (details withheld: may hold data)"
    where: Any = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f"{where.tb_frame.f_code.co_name}:{where.tb_lineno}" if where is not None else "?"
    log.critical("%s stops the worker: %s [%s]", station, detail, place)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(EXIT_CODE)
