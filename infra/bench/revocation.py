"""From a customer's no to its effect: with 300 decisions a second against two API processes, how long a withdrawal
takes until ledger and serving key hold it and until what was derived is gone, and whether any decision asked for after
the answer still used the purpose."""

import asyncio
import dataclasses
import functools
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import orjson

from features.spec import FEATURES
from infra.bench.bed import Bed, Place, whole
from infra.bench.figures import Row, Say, Target, percentile
from infra.bench.people import identifier
from infra.bench.world import SEED, SMALL, keep_model, seed_people
from infra.config import load
from infra.embedded import HOST, free_port
from infra.processes import spawn, until_ready
from infra.redis_store import RedisQueues, connect, queue_entries_key
from infra.redis_store_features import RedisFeatures
from infra.up import launches

DECISIONS_PER_SECOND, WITHDRAWALS_PER_SECOND = 300.0, 20.0
WITHDRAWALS, QUICK = 1000, 60
PURPOSE = "personalization"
LINES = 24
LONGEST_SECONDS, LOOK_SECONDS = 10.0, 0.02
LEDGER, PURGE, USED_BEFORE = Target(50.0, most=True), Target(2000.0, most=True), Target(95.0)
NONE_AFTER = Target(0.0, most=True)
HIDDEN = [n for n, feature in enumerate(f for f in FEATURES if f.view == "profile") if feature.purpose == PURPOSE]


class Line:
    """One kept connection; at most one request under way."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port)
        reader, writer = self._streams
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nX-API-Key: {self._key}\r\n"
        )
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        said = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.partition(":")[2]) for line in said.split("\r\n") if line.startswith("content-length:"))
        return int(said[9:12]), await reader.readexactly(length)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


class Lines:
    """Connections to one process, lent out one at a time."""

    def __init__(self, port: int, key: str, count: int) -> None:
        self._free: asyncio.Queue[Line] = asyncio.Queue()
        self._all = [Line(port, key) for _ in range(count)]
        for line in self._all:
            self._free.put_nowait(line)

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[float, int, bytes]:
        """When the request left (seconds of `perf_counter`), status and body."""
        line = await self._free.get()
        try:
            began = time.perf_counter()
            return began, *(await line.ask(method, path, body))
        finally:
            self._free.put_nowait(line)

    def close(self) -> None:
        for line in self._all:
            line.close()


class Asked(msgspec.Struct):
    """What was seen: when each person's withdrawal was answered, and every decision as (person, began, used)."""

    answered: dict[int, float]
    clicks: list[float]
    decisions: list[tuple[int, float, bool]]
    purges: list[float]
    refused: int = 0


async def run(place: Place, say: Say, config: Path) -> list[Row]:
    async with whole(place, config) as bed:
        say("revocation: training a model and sending people in")
        keep_model(bed.settings)
        count = QUICK if place.quick else WITHDRAWALS
        await seed_people(bed, count)
        port = await _second(bed)
        say(f"revocation: {count} withdrawals beside {DECISIONS_PER_SECOND:.0f} decisions/s on two API processes")
        found = await _measured(bed, port, count)
    return _rows(found)


async def _second(bed: Bed) -> int:
    """Another API process of the same installation; gives its port."""
    settings = bed.settings.model_copy(update={"port": free_port()})
    child = spawn(dataclasses.replace(launches(settings)["api"], name="second"))
    bed.running.children["second"] = child
    await until_ready(child, functools.partial(_ready, settings.port, settings.admin_key))
    return settings.port


async def _ready(port: int, key: str) -> bool:
    line = Line(port, key)
    try:
        return (await line.ask("GET", "/healthz"))[0] < 300
    finally:
        line.close()


async def _measured(bed: Bed, second: int, count: int) -> Asked:
    key = bed.settings.admin_key
    doors = (Lines(bed.settings.port, key, LINES), Lines(second, key, LINES))
    found = Asked({}, [], [], [])
    seen = Derived(bed)
    try:
        for door in doors:
            await _decide(door, 0, found)
        found.decisions.clear()
        over = asyncio.Event()
        background = asyncio.create_task(_background(doors, count, found, over))
        await asyncio.gather(*[asyncio.create_task(_later(n, _withdraw(doors, n, found, seen))) for n in range(count)])
        over.set()
        await background
    finally:
        for door in doors:
            door.close()
        await seen.close()
    if found.refused:
        raise RuntimeError(f"{found.refused} requests were refused, so there is no figure")
    return found


async def _later(number: int, work: Any) -> None:
    await asyncio.sleep(1.0 + number / WITHDRAWALS_PER_SECOND)
    await work


async def _background(doors: tuple[Lines, Lines], count: int, found: Asked, over: asyncio.Event) -> None:
    draw = random.Random(SEED)
    began, number, tasks = time.perf_counter(), 0, set[asyncio.Task[bool]]()
    while not over.is_set():
        # near those who withdraw now: somewhat before, somewhat after
        now = int((time.perf_counter() - began - 1.0) * WITHDRAWALS_PER_SECOND)
        person = min(max(now + draw.randrange(-20, 40), 0), count - 1)
        task = asyncio.create_task(_decide(doors[number % 2], person, found))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
        await asyncio.sleep(max(began + number / DECISIONS_PER_SECOND - time.perf_counter(), 0.0))
    await asyncio.gather(*tasks)


async def _decide(door: Lines, person: int, found: Asked) -> bool:
    asked = {"profile": f"user_id:bench-{person}", "placement": SMALL, "context": {"reason": "billing"}}
    began, status, body = await door.ask("POST", "/v1/decisions", orjson.dumps(asked))
    if status >= 300:
        found.refused += 1
        return False
    used = PURPOSE in orjson.loads(body)["consent"]["purposes_used"]
    found.decisions.append((person, began, used))
    return used


async def _withdraw(doors: tuple[Lines, Lines], person: int, found: Asked, seen: "Derived") -> None:
    """A decision just before, the withdrawal at one process, decisions at both as soon as it is answered."""
    here, there = doors if person % 2 else doors[::-1]
    await _decide(there, person, found)
    body = orjson.dumps({"purposes": {PURPOSE: False, "marketing": False}})
    began, status, _ = await here.ask("PATCH", f"/v1/profiles/user_id:bench-{person}/consent", body)
    now = time.perf_counter()
    if status >= 300:
        found.refused += 1
        return
    found.answered[person] = now
    found.clicks.append((now - began) * 1000)
    await asyncio.gather(_decide(there, person, found), _decide(here, person, found))
    found.purges.append((await seen.gone(person) - began) * 1000)


class Derived:
    """What is kept that follows from a person: the Feast row and the outreach queues."""

    def __init__(self, bed: Bed) -> None:
        self._redis = connect(bed.settings.redis_url)
        self._features = RedisFeatures(self._redis, bed.settings.prefix)
        self._queues = RedisQueues(self._redis)
        configuration = load(bed.settings.config_dir)
        self._rules = configuration.identity
        self._names = list(configuration.catalogue.queues)
        self._purposes = {name: action.purpose for name, action in configuration.catalogue.actions.items()}

    async def gone(self, person: int) -> float:
        """When neither row nor queue uses the purposes any more (seconds of `perf_counter`)."""
        until = time.perf_counter() + LONGEST_SECONDS
        profile_id = identifier(self._rules, person).id
        while await self._there(profile_id):
            if time.perf_counter() > until:
                raise RuntimeError("what was derived was still there after ten seconds")
            await asyncio.sleep(LOOK_SECONDS)
        return time.perf_counter()

    async def _there(self, profile_id: str) -> bool:
        row = await self._features.read_profile(profile_id)
        if row is not None and any(row.values[n] == row.values[n] for n in HIDDEN):
            return True
        pipe = self._redis.pipeline(transaction=False)
        for name in self._names:
            pipe.hget(queue_entries_key(name), profile_id)
        waiting = [msgspec.msgpack.decode(raw) for raw in await pipe.execute() if raw]
        return any(self._purposes[entry["action_id"]] in (PURPOSE, "marketing") for entry in waiting)

    async def close(self) -> None:
        await self._redis.aclose()


def _rows(found: Asked) -> list[Row]:
    before = {person for person, began, used in found.decisions if used and began < found.answered.get(person, 0.0)}
    after = [one for one in found.decisions if one[0] in found.answered and one[1] > found.answered[one[0]]]
    wrong = sum(used for _, _, used in after)
    share = 100.0 * len(before) / max(len(found.answered), 1)
    note = f"{len(found.answered)} withdrawals, {len(found.decisions)} decisions, {len(after)} of them asked for after"

    def row(name: str, value: float, unit: str, target: Target | None = None) -> Row:
        return Row("revocation", name, value, unit, target=target, note=note if "after" in name else "")

    return [
        row("click to ledger and key: p50", percentile(found.clicks, 50), "ms"),
        row("click to ledger and key: p99", percentile(found.clicks, 99), "ms", LEDGER),
        row("click to purge of features and queues: p50", percentile(found.purges, 50), "ms"),
        row("click to purge of features and queues: p99", percentile(found.purges, 99), "ms", PURGE),
        row("people whose purpose was used just before", share, "%", USED_BEFORE),
        row("decisions asked for after the answer that used it", float(wrong), "decisions", NONE_AFTER),
    ]
