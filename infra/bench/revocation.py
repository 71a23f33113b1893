"""From a customer's no to its effect: with 300 decisions a second against two API processes, how long a withdrawal
takes until ledger and serving key hold it and until what was derived is gone, and whether any decision asked for after
the answer still used the purpose: plainly, across links, with a page that knows an old consent, without a worker."""

import dataclasses
import functools
from pathlib import Path

import orjson

from infra.bench.bed import Bed, Place, whole
from infra.bench.client import Load, keep_bodies, send
from infra.bench.derived import Derived
from infra.bench.figures import Row, Say, Target, percentile
from infra.bench.lines import Line, Lines
from infra.bench.withdrawals import (
    DECISIONS_PER_SECOND,
    LINKED,
    PLAIN,
    WAYS,
    Seen,
    Way,
    Withdrawing,
    introduced,
    reference,
)
from infra.bench.world import keep_model, seed_people
from infra.embedded import free_port
from infra.processes import spawn, until_ready
from infra.up import launches

WITHDRAWALS, QUICK = 1000, 60
LINES = 24
LEDGER, PURGE, USED_BEFORE = Target(50.0, most=True), Target(2000.0, most=True), Target(95.0)
NONE_AFTER = Target(0.0, most=True)


async def run(place: Place, say: Say, config: Path) -> list[Row]:
    async with whole(place, config) as bed:
        say("revocation: training a model and sending people in")
        keep_model(bed.settings)
        count = QUICK if place.quick else WITHDRAWALS
        people = {way: range(n * count, (n + 1) * count) for n, way in enumerate(WAYS)}
        await seed_people(bed, len(WAYS) * count)
        await _link(bed, people[LINKED])
        port = await _second(bed)
        rows: list[Row] = []
        for way, some in people.items():
            say(f"revocation {way.name}: {count} withdrawals beside {DECISIONS_PER_SECOND:.0f} decisions/s at two APIs")
            if not way.worker:
                await bed.running.children.pop("worker").stop()
            rows += _rows(way, await _measured(bed, port, way, some))
    return rows


async def _link(bed: Bed, people: range) -> None:
    """Everybody's cookie becomes theirs; raises `RuntimeError` where it did not, for then nothing would be shown."""
    settings = bed.settings
    events = [introduced(person) for person in people]
    bodies = [orjson.dumps({"batch": events[start : start + 100]}) for start in range(0, len(events), 100)]
    path = keep_bodies(settings.data_dir, "links", bodies)
    await send(Load(settings.port, "/v1/batch", path, settings.write_key, count=len(bodies), seconds=60.0))
    await bed.quiet()
    line = Line(settings.port, settings.admin_key)
    try:
        for person in people:
            _, body = await line.ask("GET", f"/v1/profiles/{reference('anonymous_id', person)}")
            if len(orjson.loads(body).get("members", ())) != 2:
                raise RuntimeError("a cookie was not linked with its person, so there is no figure")
    finally:
        line.close()


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


async def _measured(bed: Bed, second: int, way: Way, people: range) -> Seen:
    settings = bed.settings
    first, other = (Lines(port, settings.admin_key, LINES) for port in (settings.port, second))
    derived = Derived(bed) if way == PLAIN else None
    try:
        return await Withdrawing(way, (first, other), settings.write_key, derived).run(people)
    finally:
        for door in (first, other):
            door.close()
        if derived is not None:
            await derived.close()


def _rows(way: Way, seen: Seen) -> list[Row]:
    before = {person for person, began, used in seen.decisions if used and began < seen.answered.get(person, 0.0)}
    after = [one for one in seen.decisions if one[0] in seen.answered and one[1] > seen.answered[one[0]]]
    wrong = sum(used for _, _, used in after)
    share = 100.0 * len(before) / max(len(seen.answered), 1)
    note = f"{len(seen.answered)} withdrawals, {len(seen.decisions)} decisions, {len(after)} of them asked for after"

    def row(name: str, value: float, unit: str, target: Target | None = None) -> Row:
        named = f"{way.name}: {name}" if way.name else name
        return Row("revocation", named, value, unit, target=target, note=note if "after" in name else "")

    plain = way == PLAIN
    purges = [
        row("click to purge of features and queues: p50", percentile(seen.purges, 50), "ms"),
        row("click to purge of features and queues: p99", percentile(seen.purges, 99), "ms", PURGE),
    ]
    return [
        row("click to ledger and key: p50", percentile(seen.clicks, 50), "ms"),
        row("click to ledger and key: p99", percentile(seen.clicks, 99), "ms", LEDGER if plain else None),
        *(purges if plain else []),
        row("people whose purpose was used just before", share, "%", USED_BEFORE),
        row("decisions asked for after the answer that used it", float(wrong), "decisions", NONE_AFTER),
    ]
