"""What is being tried, with what was found of it last. Measures nothing; a plan that was never measured shows its arms
with nobody in them."""

from collections.abc import Iterator

import msgspec

from api.answers import iso
from api.deps import World
from api.schemas_experiments import ArmNow, ExperimentList, ExperimentNow
from engine.experiment import Plan, dealt_shares
from models.trial import Found, Scope, findings


def experiments_now(world: World) -> ExperimentList:
    """The plan in force, and the latest findings of what is in it."""
    plan = world.now.allocation.plan
    kept = world.findings.latest()
    known = {one.experiment: one for one in kept.experiments} if kept is not None else {}
    nothing = findings(plan, {}, 0, Scope(0, 0))
    shown = [_shown(plan, _current(plan, known.get(one.experiment), one), world.clock()) for one in nothing.experiments]
    return ExperimentList(iso(kept.at) if kept is not None else None, kept.decisions if kept is not None else 0, shown)


def experiment_now(world: World, name: str) -> ExperimentNow | None:
    return next((one for one in experiments_now(world).experiments if one.experiment == name), None)


def _current(plan: Plan, kept: Found | None, nothing: Found) -> Found:
    """The findings, unless the arms are others by now."""
    same = kept is not None and {a.arm: a.share for a in kept.arms} == dict(dealt_shares(plan, nothing.experiment))
    return kept if kept is not None and same else nothing


def _shown(plan: Plan, found: Found, at: int) -> ExperimentNow:
    experiment = plan.named(found.experiment)
    terms = plan.control if experiment is None else experiment
    return ExperimentNow(
        experiment=found.experiment,
        title=found.title,
        running=experiment is None or experiment.running(at),
        baseline=found.baseline,
        placements=list(terms.placements),
        purpose=terms.purpose,
        horizon_days=found.horizon_days,
        alpha=found.alpha,
        arms=list(_arms(found)),
        crossed=found.crossed,
        waiting=found.waiting,
        outside=found.outside,
        ratio_p=found.ratio_p,
        ratio_evidence=found.ratio_evidence,
        ratio_suspicious=found.ratio_suspicious,
        text=found.text,
    )


def _arms(found: Found) -> Iterator[ArmNow]:
    return (msgspec.convert(arm, ArmNow, from_attributes=True) for arm in found.arms)
