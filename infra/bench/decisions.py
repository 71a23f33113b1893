"""What a decision costs one API process, one at a time at a steady rate, as fast as it can, and in bulk; each beside
the bare decision in a process of its own, taking turns in the same run."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from infra.bench.bed import Bed, Place, bare_server, make_topic, whole
from infra.bench.client import Load, Sent, keep_bodies, send
from infra.bench.figures import Row, Say, Target, less, more, percentile
from infra.bench.world import LARGE, SMALL, keep_model, questions, seed_people

ROUNDS = 3
CONNECTIONS = 8
SHARE = Target(0.4)
FLOOR_IS = "the bare decision: two Redis round trips, the same rules, LightGBM on the same rows, an acknowledged record"
BULK_ROWS = 1000
BULK = Target(1000)


class Size(msgspec.Struct, frozen=True):
    """One kind of question: so many candidates at a placement, asked so many times a second, and the most that half and
    all but one in a hundred of the answers may take (ms)."""

    candidates: int
    placement: str
    rate: float
    p50: Target | None = None
    p99: Target | None = None


SIZES = (
    Size(20, SMALL, 200.0, Target(5.0, most=True), Target(15.0, most=True)),
    Size(200, LARGE, 100.0, p99=Target(25.0, most=True)),
)


class Found(msgspec.Struct, frozen=True):
    """Medians over rounds: latencies in ms at the steady rate, and answers a second from eight connections."""

    p50: float
    p99: float
    most: float


class Door(msgspec.Struct, frozen=True):
    """Where decisions are asked."""

    port: int
    path: str
    key: str


async def run(place: Place, say: Say, config: Path) -> list[Row]:
    async with whole(place, config) as bed:
        await _furnish(bed, say)
        rows: list[Row] = []
        async with bare_server(bed, "decision_app") as port:
            doors = (Door(bed.settings.port, "/v1/decisions", bed.settings.admin_key), Door(port, "/decision", ""))
            for size in SIZES:
                say(f"decisions: {size.candidates} candidates")
                rows += _rows(size, *await _compared(bed, doors, size, place.quick))
    return rows


async def run_bulk(place: Place, say: Say, config: Path) -> list[Row]:
    async with whole(place, config) as bed:
        await _furnish(bed, say)
        seconds = 2.0 if place.quick else 8.0
        say("bulk: 20 candidates")
        lines = b"\n".join(questions(SMALL) * (BULK_ROWS // 400 + 1))
        bulk = keep_bodies(bed.settings.data_dir, "bulk", [b"\n".join(lines.split(b"\n")[:BULK_ROWS])])
        key = bed.settings.admin_key
        sent = await _sent(Load(bed.settings.port, "/v1/decisions/bulk", bulk, key, 2, seconds))
        say("bulk: the floor")
        single = keep_bodies(bed.settings.data_dir, "single", questions(SMALL))
        async with bare_server(bed, "decision_app") as port:
            floor = await _sent(Load(port, "/decision", single, "", CONNECTIONS, seconds / 2))
    rate = BULK_ROWS * sent.answered / sent.seconds
    beside = "the bare decision, asked one by one from eight connections"
    row = Row("bulk", "decisions in bulk, 20 candidates", rate, "decisions/s", target=BULK, beside=beside)
    return [more(row, floor.answered / floor.seconds)]


async def _furnish(bed: Bed, say: Say) -> None:
    say("decisions: training a model and sending people in")
    await make_topic(bed.settings, "bare")
    keep_model(bed.settings)
    await seed_people(bed)


async def _sent(load: Load) -> Sent:
    sent = await send(load)
    if sent.refused() or not sent.answered:
        raise RuntimeError(f"decisions were refused, so there is no figure: {sent.statuses}")
    return sent


async def _compared(bed: Bed, doors: Sequence[Door], size: Size, quick: bool) -> tuple[Found, Found]:  # noqa: FBT001 reason: handed on
    asked = keep_bodies(bed.settings.data_dir, size.placement, questions(size.placement))
    seconds = 2.0 if quick else 6.0
    steady: list[list[Sent]] = [[], []]
    rush: list[list[Sent]] = [[], []]
    for _ in range(1 if quick else ROUNDS):
        for which, door in enumerate(doors):
            one = Load(door.port, door.path, asked, door.key, 32, seconds, size.rate)
            steady[which].append(await _sent(one))
        for which, door in enumerate(doors):
            rush[which].append(await _sent(Load(door.port, door.path, asked, door.key, CONNECTIONS, seconds / 2)))
    ours, floor = (_found(steady[which], rush[which]) for which in range(2))
    return ours, floor


def _found(steady: Sequence[Sent], rush: Sequence[Sent]) -> Found:
    middle = statistics.median(percentile(sent.latencies, 50) for sent in steady)
    tail = statistics.median(percentile(sent.latencies, 99) for sent in steady)
    return Found(middle, tail, statistics.median(sent.answered / sent.seconds for sent in rush))


def _rows(size: Size, ours: Found, floor: Found) -> list[Row]:
    def row(what: str, value: float, unit: str, bounds: tuple[Target | None, Target | None]) -> Row:
        named, (target, share) = f"{size.candidates} candidates, {what}", bounds
        return Row("decisions", named, value, unit, target=target, ratio_target=share, beside=FLOOR_IS)

    rate, share = f"{size.rate:.0f} requests/s", SHARE if size.p50 else None
    return [
        less(row(f"{rate}: p50", ours.p50, "ms", (size.p50, share)), floor.p50),
        less(row(f"{rate}: p99", ours.p99, "ms", (size.p99, None)), floor.p99),
        more(row(f"{CONNECTIONS} connections", ours.most, "requests/s", (None, share)), floor.most),
    ]
