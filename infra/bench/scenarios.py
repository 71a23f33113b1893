"""`rapport bench --only simulator`: the contact-centre simulator in closed loop with the real fold, gate, features,
models and promotion rule in one process: how far it comes, how it bears a change of taste, and what a new action gets.
Knows the runs; the loop is the demonstration's. All of it is simulated."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.catalog import Catalogue
from infra.bench.bed import Place
from infra.bench.figures import Row, Say, Target
from infra.config import Configuration, load
from infra.demo.closed_loop import Curve, Plan, found, percent, run
from infra.demo.in_process import InProcessDesk
from infra.demo.run import offered_in
from infra.settings import DEMO_CONFIG

# used for nothing else
SEEDS = (601, 602, 603)
NEWCOMER = "cross_sell_protection"
USUAL = Plan(0)
CHANGED, RECOVERED = 20_000, 24_000
CHANGING = Plan(
    0,
    decisions=25_000,
    pilot=(*USUAL.pilot, (CHANGED, 0.5), (RECOVERED, 0.0)),
    retrain=(*USUAL.retrain, 21_500, 22_250, 23_000, 23_750),
    judged_from=RECOVERED,
    changed=CHANGED,
)
ADDED = 15_000
GROWING = Plan(0, decisions=ADDED + 1000, judged_from=ADDED + 500, added=(NEWCOMER, ADDED))


def played(plan: Plan, configuration: Configuration, say: Say) -> Curve:
    """One run; where the plan adds an action, the catalogue lacks it until then."""
    whole = configuration.catalogue
    offered, later = offered_in(configuration), None
    if plan.added is not None:
        name, begin = plan.added
        fewer = tuple(action for action in whole.documents.actions if action.id != name)
        without = Catalogue(msgspec.structs.replace(whole.documents, actions=fewer))
        configuration, later = msgspec.structs.replace(configuration, catalogue=without), (begin, whole)
    desk = InProcessDesk(configuration, later)
    told = f"simulator: seed {plan.seed}"
    return run(plan, offered, desk, lambda step, done, of: say(f"{told}, {step} {done:,} of {of:,}"))


def _each(plan: Plan, seeds: Sequence[int], say: Say) -> list[Curve]:
    configuration = load(DEMO_CONFIG)
    return [played(msgspec.structs.replace(plan, seed=seed), configuration, say) for seed in seeds]


def _row(name: str, shares: dict[int, float], bound: float, note: str) -> Row:
    mean = sum(shares.values()) / len(shares)
    each = ", ".join(f"seed {seed}: {share:.1f}" for seed, share in shares.items())
    return Row("simulator", name, mean, "%", target=Target(bound), note=f"{each}; {note}")


def rows(seeds: Sequence[int], say: Say) -> list[Row]:
    """The three questions, each with every seed."""
    usual, changing, growing = (dict(zip(seeds, _each(p, seeds, say), strict=True)) for p in (USUAL, CHANGING, GROWING))
    place = offered_in(load(DEMO_CONFIG)).actions.index(NEWCOMER)
    before = ", ".join(f"{percent(one, CHANGED - 1000, CHANGED):.0f}" for one in changing.values())
    fallen = ", ".join(f"{percent(one, CHANGED, CHANGED + 1000):.0f}" for one in changing.values())
    promoted = ", ".join(str(sum(t.promoted for t in one.trained)) for one in usual.values())
    first, last = GROWING.judged_from, GROWING.decisions
    wanted = ", ".join(str(int((one.best[first:last] == place).sum())) for one in growing.values())
    return [
        _row(
            "of the way from uniform to oracle, decisions 15,001 to 20,000",
            {seed: percent(one, USUAL.judged_from, USUAL.decisions) for seed, one in usual.items()},
            90.0,
            f"of {len(USUAL.retrain)} trainings promoted: {promoted}",
        ),
        _row(
            "the same, 4,001 to 5,000 decisions after tastes changed",
            {seed: percent(one, CHANGING.judged_from, CHANGING.decisions) for seed, one in changing.items()},
            80.0,
            f"the thousand before: {before}; the thousand after, half of it on pilot screens: {fallen}",
        ),
        _row(
            f"of those in which the new {NEWCOMER} is best show it, decisions 501 to 1,000 with it",
            {seed: found(one, place, first, last) for seed, one in growing.items()},
            60.0,
            f"it is best in {wanted}; no training since it came",
        ),
    ]


async def run_all(place: Place, say: Say, _config: Path) -> list[Row]:
    """Every question with three seeds, or with one."""
    return await asyncio.to_thread(rows, SEEDS[:1] if place.quick else SEEDS, say)
