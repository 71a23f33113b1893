"""How long after the gateway took an event the next decision can see it, while a thousand others a second come in. The
profile a decision would be made from is read until the event is in it."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import orjson

from infra.bench.bed import Bed, Place, whole
from infra.bench.client import Load, keep_bodies, send
from infra.bench.figures import Row, Say, Target, percentile
from infra.bench.people import batch, message

EVENTS_PER_SECOND, TOGETHER, USERS = 1000, 20, 5000
PROBES_PER_SECOND = 8.0
WARM_SECONDS = 2.0
P99 = Target(250.0, most=True)
LONGEST_SECONDS = 10.0
LOOK_SECONDS = 0.003


async def run(place: Place, say: Say, config: Path) -> list[Row]:
    seconds = 4.0 if place.quick else 40.0
    async with whole(place, config) as bed:
        say(f"freshness: {EVENTS_PER_SECOND} events/s in the background")
        rate = EVENTS_PER_SECOND / TOGETHER
        count = int(rate * (seconds + 2 * WARM_SECONDS))
        bodies = keep_bodies(
            bed.settings.data_dir, "load", [batch(n * TOGETHER, TOGETHER, USERS) for n in range(count)]
        )
        load = Load(
            bed.settings.port, "/v1/batch", bodies, bed.settings.write_key, 16, seconds + 2 * WARM_SECONDS, rate
        )
        background = asyncio.create_task(send(load))
        await asyncio.sleep(WARM_SECONDS)
        ages = await _probed(bed, seconds)
        sent = await background
    if sent.refused():
        raise RuntimeError(f"the background was refused, so there is no figure: {sent.statuses}")
    pace = TOGETHER * sent.answered / sent.seconds
    note = f"{len(ages)} probes; background {pace:,.0f} events/s in batches of {TOGETHER}"
    return [
        Row("freshness", "accepted to visible: p50", percentile(ages, 50), "ms", note=note),
        Row("freshness", "accepted to visible: p99", percentile(ages, 99), "ms", target=P99, note=note),
    ]


async def _probed(bed: Bed, seconds: float) -> list[float]:
    settings = bed.settings
    base = f"http://{settings.host}:{settings.port}"
    async with httpx.AsyncClient(base_url=base, headers={"X-API-Key": settings.admin_key}, timeout=10.0) as client:
        began, ages, number = time.perf_counter(), [], 0
        while time.perf_counter() - began < seconds:
            number += 1
            ages.append(await _age(client, number))
            await asyncio.sleep(max(began + number / PROBES_PER_SECOND - time.perf_counter(), 0.0))
        return ages


async def _age(client: httpx.AsyncClient, number: int) -> float:
    """Milliseconds from the gateway's answer until somebody who was unknown is known."""
    who = f"probe-{number}"
    body: dict[str, Any] = {**message("track", 0, 90_000_000 + number, event="Probe"), "userId": who}
    (await client.post("/v1/track", content=orjson.dumps(body))).raise_for_status()
    accepted = time.perf_counter()
    while (await client.get(f"/v1/profiles/user_id:{who}")).status_code == httpx.codes.NOT_FOUND:
        if time.perf_counter() - accepted > LONGEST_SECONDS:
            raise RuntimeError("an event was not visible after ten seconds")
        await asyncio.sleep(LOOK_SECONDS)
    return (time.perf_counter() - accepted) * 1000
