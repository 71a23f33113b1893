"""The simulator's loop against the real fold, gate, features, models and promotion rule, in one process."""

import numpy as np
import pytest

from infra.config import load
from infra.demo.closed_loop import DESKTOP, PILOT, Curve, Offered, Plan, percent, run
from infra.demo.in_process import InProcessDesk
from infra.demo.run import QUICK, DemoOptions
from infra.settings import DEMO_CONFIG

SMALL = Plan(21, 3600, 1800, ((0, 1.0), (3000, 0.2)), (3000,), 3000)


def played(plan: Plan) -> tuple[Curve, InProcessDesk, list[tuple[str, int, int]]]:
    configuration = load(DEMO_CONFIG)
    actions = configuration.catalogue.placed(DESKTOP)
    desk = InProcessDesk(configuration)
    steps: list[tuple[str, int, int]] = []
    offered = Offered(tuple(a.id for a in actions), tuple(a.value for a in actions))
    return run(plan, offered, desk, lambda *step: steps.append(step)), desk, steps


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_loop_learns() -> None:
    curve, desk, steps = played(SMALL)
    assert steps[-1] == ("decisions", 3600, 3600)
    # before the first model the pilot knows hardly more than nothing
    assert abs(percent(curve, 0, 3000)) < 10.0
    assert [one.promoted for one in curve.trained] == [True]
    assert desk.model.version == curve.trained[0].version
    judged = slice(SMALL.judged_from, None)
    at_desk = ~curve.pilot[judged]
    gained = curve.expected[judged][at_desk].mean() - curve.uniform[judged][at_desk].mean()
    possible = (curve.oracle - curve.uniform)[judged][at_desk].mean()
    assert gained > 0.5 * possible
    assert np.all(curve.expected <= curve.oracle + 1e-9)
    outcomes = [one.event for one in desk.state.history if one.event.kind == "outcome"]
    assert len(outcomes) == 2 * SMALL.decisions
    assert {event.name for event in outcomes} == {"presented", "accepted", "declined"}


def test_the_pilot_explores_much_and_the_desk_little() -> None:
    placements = load(DEMO_CONFIG).catalogue.placements
    pilot, desk = placements[PILOT].exploration, placements[DESKTOP].exploration
    assert (pilot.kind, desk.kind) == ("softmax", "epsilon")
    assert pilot.share > 10.0 * desk.share > 0.0


def test_the_judged_decisions_are_all_made_at_the_desk() -> None:
    plan = Plan(0)
    assert (plan.decisions, plan.judged_from) == (20_000, 15_000)
    assert plan.share(14_999) > 0.0
    assert all(plan.share(index) == 0.0 for index in range(plan.judged_from, plan.decisions))
    assert max(plan.retrain) <= plan.judged_from


def test_a_quick_demonstration_is_a_tenth() -> None:
    options = DemoOptions("http://localhost", "a", "w")
    assert options.with_size(quick=False, seed=3).plan.decisions == 10 * QUICK.decisions
    quick = options.with_size(quick=True, seed=3).plan
    assert (quick.seed, quick.decisions) == (3, QUICK.decisions)
