"""Telling controllers how far their requests are, at the addresses they gave, beside everything else. Knows ports and
OpenDSR's words; nothing of networks."""

import asyncio
import hmac
import logging
from base64 import b64encode
from urllib.parse import urlsplit

import msgspec

from api.answers import iso
from api.deps import World
from api.schemas_opendsr import StatusCall
from engine.data_request import COMPLETED, ERASURE, DataRequest, status_of
from engine.ports import Unavailable
from engine.signals import DAY
from engine.status_callback import Callback, Undelivered, delivered, failed, looked

log = logging.getLogger("rapport.requests")
API_VERSION = "1.0"
ANSWERED_WITHIN_DAYS = {"gdpr": 30, "ccpa": 45}
LOOK_SECONDS = 1.0
SIGNED = ("X-OpenDSR-Processor-Domain", "X-OpenDSR-Signature")


def signature(place: str, key: str, body: bytes) -> dict[str, str]:
    """The headers by which a receiver who knows `key` can prove that we said this."""
    signed = b64encode(hmac.digest(key.encode(), body, "sha256")).decode()
    return {SIGNED[0]: urlsplit(place).hostname or "", SIGNED[1]: signed}


def expected(request: DataRequest) -> str:
    return iso(request.received_at + ANSWERED_WITHIN_DAYS[request.regulation] * DAY)


async def status_now(world: World, found: DataRequest) -> str:
    return status_of(found, [await world.erasures.find(job) for job in found.jobs])


def results_url(place: str, request: DataRequest, status: str) -> str | None:
    """Where there is something to fetch; `place` is where requests are."""
    return f"{place}/{request.id}/results" if status == COMPLETED and request.kind != ERASURE else None


async def keep_telling(world: World) -> None:
    """Tell what is new, until cancelled. What fails is tried again."""
    while True:
        try:
            await tell(world)
        except Exception as error:  # noqa: BLE001 reason: the loop's one net; nobody stays untold for it
            log.warning("status callbacks wait: %s", error if isinstance(error, Unavailable) else type(error))
        await asyncio.sleep(LOOK_SECONDS)


async def tell(world: World) -> int:
    """Everything that is due now; how many callbacks were looked at."""
    claimed = await world.callbacks.claim(world.clock())
    await asyncio.gather(*(_look(world, callback) for callback in claimed))
    return len(claimed)


async def _look(world: World, callback: Callback) -> None:
    request = await world.requests.find(callback.request)
    if request is None or callback.until <= world.clock():
        await world.callbacks.forget(callback)
        return
    status = await status_now(world, request)
    told = await _told(world, callback, request, status) if status != callback.told else looked(callback, world.clock())
    await (world.callbacks.settle(told) if told is not None else world.callbacks.forget(callback))


async def _told(world: World, callback: Callback, request: DataRequest, status: str) -> Callback | None:
    """How the callback stands after the call; None where nothing is left to do."""
    place = results_url(callback.place, request, status)
    news = StatusCall(request.controller, expected(request), callback.url, request.id, status, API_VERSION, place)  # type: ignore[arg-type]
    body = msgspec.json.encode(news)
    try:
        await world.caller.call(callback.url, body, signature(callback.place, callback.secret, body))
    except Undelivered as problem:
        after = failed(callback, world.clock())
        log.warning("a status callback %s: %s", "will be tried again" if after else "is given up", problem)
        return after
    return delivered(callback, status, world.clock())
