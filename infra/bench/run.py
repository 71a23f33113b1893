"""The benches in order: which there are, what each needs, and what comes out as JSON and as a table."""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from infra.bench import (
    chaos,
    coverage,
    crowd,
    decisions,
    freshness,
    gate,
    ingest,
    memory,
    planted,
    profile_read,
    replay,
    revocation,
    scenarios,
    shelf_http,
    stream,
)
from infra.bench.bed import Place, servers_only
from infra.bench.figures import Row, Say, Target, machine
from infra.bench.world import write_config

Bench = Callable[[Place, Say, Path], Awaitable[list[Row]]]
FEAST_TARGETS = {"write 1 x 40": 20.0, "write 100 x 40": 6.0}
READ_TARGET = 8.0


class UnknownBench(ValueError):
    """A name that is none of the benches."""


async def _stream(place: Place, say: Say, _config: Path) -> list[Row]:
    return await stream.run(place, say)


async def _feast(place: Place, say: Say, _config: Path) -> list[Row]:
    # reason: Feast takes seconds to import, and no other bench needs it
    from infra.bench import feast  # noqa: PLC0415 reason: slow to import, seldom needed

    say("feast: our rows beside its client")
    async with servers_only(place) as bed:
        found = await asyncio.to_thread(feast.run, bed.settings.redis_url)
    return [_feast_row(one) for one in found]


def _feast_row(one: dict[str, Any]) -> Row:
    name = one["name"]
    # the target is about Feast's usual, blocking client
    bound = READ_TARGET if name.startswith("read") and "blocking" in name else FEAST_TARGETS.get(name)
    target = None if bound is None else Target(bound)
    figures = {key: one[key] for key in ("name", "ours", "unit", "floor", "ratio")}
    return Row("feast", **figures, ratio_target=target, beside="feast.FeatureStore on the same Redis")


BENCHES: dict[str, Bench] = {
    "stream": _stream,
    "ingest": ingest.run,
    "freshness": freshness.run,
    "decisions": decisions.run,
    "bulk": decisions.run_bulk,
    "revocation": revocation.run,
    "feast": _feast,
    "profiles": profile_read.run,
    "memory": memory.run,
    "crowd": crowd.run,
    "replay": replay.run,
    "coverage": coverage.run,
    "gate": gate.run,
    "panels": shelf_http.run,
    "simulator": scenarios.run_all,
    "people": planted.run,
    "chaos": chaos.run,
}
# these take long and prove more than they measure: chaos and people need Java besides
ONLY_WHEN_NAMED = frozenset({"chaos", "memory", "crowd", "coverage", "gate", "panels", "people", "simulator"})


def chosen(names: str) -> list[str]:
    """The named benches in their order; all that measure where none is named. Raises `UnknownBench`."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in BENCHES]
    if unknown:
        raise UnknownBench(f"no bench is called {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    return [name for name in BENCHES if name in wanted or (not wanted and name not in ONLY_WHEN_NAMED)]


def run(names: Sequence[str], place: Place, say: Say) -> dict[str, Any]:
    """Run them one after the other, each on an installation of its own; gives the machine and the rows."""
    about = {
        **machine(),
        "broker": "a broker that ran already" if place.kafka_url else "embedded broker",
        "redis": "a Redis that ran already" if place.redis_url else "embedded Redis",
        "quick": place.quick,
    }
    with tempfile.TemporaryDirectory(prefix="rapport-bench-config-") as directory:
        config = write_config(Path(directory) / "config")
        rows = [row for name in names for row in uvloop.run(_one(name, place, say, config))]
    return {"machine": about, "rows": rows}


async def _one(name: str, place: Place, say: Say, config: Path) -> list[Row]:
    return await BENCHES[name](place, say, config)


def written(found: dict[str, Any], out: Path) -> None:
    """The figures as JSON."""
    rows = [{**msgspec.to_builtins(row), "missed": row.missed} for row in found["rows"]]
    out.write_text(json.dumps({**found, "rows": rows}, indent=2) + "\n", encoding="utf-8")
