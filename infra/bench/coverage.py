"""Whether a 95 % interval holds the truth in 95 of 100 logs: on panels of real choices, where the truth is known, with
households and actions drawn anew for each log. Judges intervals; promotes nobody."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.bench.bed import Place
from infra.bench.figures import Row, Say, Target
from infra.bench.panels import GREEDY, LOGGING, NAMES, Bandit, Panel, distribution, learnt, load_panel, redrawn, usual
from models.evaluate import Comparison, Interval, Method
from models.evidence import compared
from models.train import GATE_METHOD

DRAWS, FEW = 1000, 60
RESAMPLES = 500
OFF = Target(3.0, most=True)


def _robust(found: Comparison) -> Interval:
    if found.doubly_robust is None:
        raise RuntimeError("a log without decisions")
    return found.doubly_robust


INTERVALS: Mapping[str, Callable[[Comparison], Interval]] = {
    "challenger, SNIPS": lambda found: found.challenger.interval,
    "difference, SNIPS": lambda found: found.difference,
    "difference, doubly robust": _robust,
}


def bandit_of(panel: Panel, logging: str) -> Bandit:
    """The learnt policy against the usual one, logged by the usual one with this exploration."""
    usually, expected = usual(panel), learnt(panel)
    logged = distribution(usually, LOGGING[logging])
    return Bandit(panel, logged, distribution(expected, GREEDY), distribution(usually, GREEDY), expected)


def covered(bandit: Bandit, draws: int, resamples: int = RESAMPLES) -> dict[str, float]:
    """The share of logs, in per cent, in which each kind of interval holds the truth."""
    new, old = bandit.truth
    truth = {name: new if name.startswith("challenger") else new - old for name in INTERVALS}
    hits = dict.fromkeys(INTERVALS, 0)
    for number in range(draws):
        how = Method(seed=number, resamples=resamples, level=GATE_METHOD.level, clip=GATE_METHOD.clip)
        found = compared(redrawn(bandit, (number, draws)), how)
        for name, interval in INTERVALS.items():
            one = interval(found)
            hits[name] += one.low <= truth[name] <= one.high
    return {name: 100.0 * count / draws for name, count in hits.items()}


async def run(place: Place, say: Say, _config: Path) -> list[Row]:
    """Every panel, logging policy and kind of interval."""
    draws = FEW if place.quick else DRAWS
    rows: list[Row] = []
    for name in NAMES:
        panel = load_panel(name)
        for logging in LOGGING:
            say(f"coverage: {draws} logs of {name}, {logging}")
            found = await asyncio.to_thread(covered, bandit_of(panel, logging), draws)
            rows += [_row(f"{name}, {logging}: {kind}", share, draws) for kind, share in found.items()]
    return rows


def _row(name: str, share: float, draws: int) -> Row:
    note = f"{share:.1f} % of {draws} logs: 95 % intervals, households and actions redrawn, bootstrap by household"
    return Row("coverage", name, abs(share - 95.0), "points off 95 %", target=OFF, note=note)
