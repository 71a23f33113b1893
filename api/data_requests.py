"""Carrying out data subjects' requests once they are due: an erasure becomes erasure jobs, access and portability
become fetchable. Knows ports; nothing of the protocol a request came by."""

import asyncio
import itertools
import logging

from api.deps import World
from api.routes.erasure import begun
from engine.data_request import COMPLETED, ERASURE, IN_PROGRESS, KEPT_MS, DataRequest
from engine.ports import Unavailable

log = logging.getLogger("rapport.requests")
LOOK_SECONDS = 1.0
FORGET_EVERY = 3600


async def carry_on(world: World) -> None:
    """Carry out what is due, until cancelled. What fails is taken up again."""
    for look in itertools.count():
        try:
            if look % FORGET_EVERY == 0:
                await world.requests.forget(world.clock() - KEPT_MS)
            await carry_out(world)
        except Exception as error:  # noqa: BLE001 reason: the loop's one net; a request is never left lying for it
            log.warning("data subjects' requests wait: %s", error if isinstance(error, Unavailable) else type(error))
        await asyncio.sleep(LOOK_SECONDS)


async def carry_out(world: World) -> int:
    """Everything that is due now; how many requests that were."""
    claimed = await world.requests.claim(world.clock())
    for request in claimed:
        jobs = await _erased(world, request) if request.kind == ERASURE else []
        await world.requests.settle(request.id, IN_PROGRESS if jobs else COMPLETED, jobs)
    return len(claimed)


async def _erased(world: World, request: DataRequest) -> list[str]:
    """One erasure per person, also of somebody nothing is kept of yet: what is on its way is caught by it."""
    jobs: list[str] = []
    reached: set[str] = set()
    for subject in request.subjects:
        if subject[0] in reached:
            continue
        reached |= {subject[0], *(await world.people.person(subject[0])).members}
        jobs.append((await begun(world, subject, request.controller)).id)
    return jobs
