"""What a bench says: one row per figure beside its floor, the machine it was taken on, and how both are shown. Knows
nothing of what is measured."""

import os
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.table import Table

LIBRARIES = ("aiokafka", "faust-streaming", "fastapi", "feast", "lightgbm", "redis", "uvicorn", "uvloop")
Say = Callable[[str], None]


class Target(msgspec.Struct, frozen=True):
    """A bound on our figure: at least, or at most where `most`."""

    bound: float
    most: bool = False

    def met(self, value: float) -> bool:
        return value <= self.bound if self.most else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.most else '≥'} {self.bound:,g}"


class Row(msgspec.Struct, frozen=True):
    """One figure. `ratio` is how good ours is as a part of the floor (1 is as good), whether more or less is better;
    `beside` says what the floor is, `note` what else belongs to the figure."""

    bench: str
    name: str
    ours: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    target: Target | None = None
    ratio_target: Target | None = None
    beside: str = ""
    note: str = ""

    @property
    def missed(self) -> bool:
        """Whether any stated bound does not hold for this run."""
        bounds = ((self.target, self.ours), (self.ratio_target, self.ratio))
        return any(bound is not None and value is not None and not bound.met(value) for bound, value in bounds)


def more(row: Row, floor: float) -> Row:
    """The row beside a floor of which more is better."""
    return msgspec.structs.replace(row, floor=floor, ratio=row.ours / floor)


def less(row: Row, floor: float) -> Row:
    """The row beside a floor of which less is better."""
    return msgspec.structs.replace(row, floor=floor, ratio=floor / row.ours)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 100) of the values lie."""
    return float(np.percentile(np.asarray(values), share)) if values else float("nan")


def machine() -> dict[str, Any]:
    """Where the figures were taken."""
    return {
        "cores": os.cpu_count(),
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "memory_gib": round(int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 1_048_576, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": [round(x, 2) for x in os.getloadavg()],
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def described(about: dict[str, Any]) -> str:
    """The machine in one line."""
    libraries = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['cores']} cores ({about['processor']}), {about['memory_gib']} GiB, {about['system']},"
        f" Python {about['python']}, load before {about['load_before'][0]};"
        f" {about['broker']}, {about['redis']}; {libraries}"
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(rows: Sequence[Row]) -> Table:
    shown = Table("bench", "figure", "ours", "unit", "floor", "ratio", "target")
    for row in rows:
        bounds = [str(b) if of else f"ratio {b}" for b, of in ((row.target, True), (row.ratio_target, False)) if b]
        style = "yellow" if row.missed else ""
        cells = (row.bench, row.name, _number(row.ours), row.unit, _number(row.floor), _number(row.ratio))
        shown.add_row(*cells, ", ".join(bounds), style=style)
    return shown


def remarks(rows: Sequence[Row]) -> list[str]:
    """What each floor is, said once, and what else belongs to single figures."""
    floors = {f"{row.bench}: the floor is {row.beside}" for row in rows if row.beside}
    return [*sorted(floors), *(f"{row.bench}, {row.name}: {row.note}" for row in rows if row.note)]
