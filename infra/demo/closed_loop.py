"""The contact-centre simulator in closed loop with a running system: contacts ask for decisions, simulated customers
answer, the model is trained and judged again and again. Knows the truth; the system behind `Desk` sees only events."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import msgspec
import numpy as np

from infra.demo.simulator import Contacts, Population, contact, context_of, history, populate, true_acceptance
from infra.demo.truth import Flags, Floats, Ints

DESKTOP, PILOT = "agent_desktop", "agent_pilot"
BATCH = 250
Advance = Callable[[str, int, int], None]


class Trained(msgspec.Struct, frozen=True):
    """One retraining: after how many decisions, which version, whether it was promoted, and what the gate said."""

    decisions: int
    version: str
    promoted: bool
    text: str
    low: float = 0.0
    difference: float = 0.0
    high: float = 0.0


class Desk(Protocol):
    """The system as the contact centre sees it."""

    def send(self, events: Sequence[tuple[int, dict[str, Any]]]) -> None:
        """Take events with their age in ms, oldest news first."""
        ...

    def settle(self) -> None:
        """Return when everything sent so far can be seen by a decision."""
        ...

    def decide(self, asks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]: ...

    def report(self, outcomes: Sequence[Mapping[str, Any]]) -> None: ...

    def retrain(self, decisions: int, since: int) -> Trained:
        """Train on the decisions from number `since` on, judge and, if the gate agrees, promote."""
        ...


class Offered(msgspec.Struct, frozen=True):
    """What the catalogue offers at the desk: action ids and what an acceptance of each is worth, in parallel."""

    actions: tuple[str, ...]
    values: tuple[float, ...]


class Plan(msgspec.Struct, frozen=True):
    """How a run goes. `pilot` lists (from decision, share of contacts on the pilot's screens, which explore); after
    each count in `retrain` the system learns; `judged_from` is the first decision of the final figure, from 0. From
    decision `changed` on, tastes are others, and the system is told to learn from what came since; from decision
    `added[1]` on the catalogue offers the action `added[0]` as well."""

    seed: int
    decisions: int = 20_000
    customers: int = 10_000
    pilot: tuple[tuple[int, float], ...] = ((0, 1.0), (3000, 0.5), (15_000, 0.0))
    retrain: tuple[int, ...] = (3000, 6000, 8000, 10_000, 12_500, 15_000)
    judged_from: int = 15_000
    prefix: str = "sim"
    changed: int | None = None
    added: tuple[str, int] | None = None

    def share(self, decision: int) -> float:
        return next((share for start, share in reversed(self.pilot) if decision >= start), 0.0)

    def since(self, decision: int) -> int:
        """The first decision worth learning from at this one."""
        return self.changed if self.changed is not None and decision > self.changed else 0

    def offers(self, action: str, decision: int) -> bool:
        return self.added is None or action != self.added[0] or decision >= self.added[1]


class Curve(msgspec.Struct, frozen=True, eq=False):
    """Per decision, shape (decisions,): the true expected reward of what was shown, of a uniform draw and of the best
    choice over the same permitted actions; the reward really drawn; the places of the action shown and of the best one
    among those offered; and whether it was made on a pilot screen."""

    expected: Floats
    uniform: Floats
    oracle: Floats
    drawn: Floats
    shown: Ints
    best: Ints
    pilot: Flags
    trained: tuple[Trained, ...]


def percent(curve: Curve, first: int, last: int) -> float:
    """How far decisions [first, last) came from uniform (0) to the oracle (100)."""
    shown, low, high = (part[first:last].mean() for part in (curve.expected, curve.uniform, curve.oracle))
    return float(100.0 * (shown - low) / (high - low))


def found(curve: Curve, action: int, first: int, last: int) -> float:
    """In how many of the decisions [first, last) in which this action was best it was shown, in per cent."""
    shown, best = curve.shown[first:last], curve.best[first:last]
    return float(100.0 * np.mean(shown[best == action] == action))


class _World(msgspec.Struct, frozen=True, eq=False):
    """The simulated side of a run: who, when, and the true probability of each yes."""

    people: Population
    contacts: Contacts
    truth: Floats
    offered: Offered
    pilot: Flags

    def user(self, plan: Plan, index: int) -> str:
        return f"{plan.prefix}-{plan.seed}-{self.contacts.customer[index]}"


def _world(plan: Plan, offered: Offered) -> _World:
    people = populate(plan.seed, plan.customers)
    contacts = contact(people, plan.decisions)
    draws = np.random.default_rng((plan.seed, 4)).random(plan.decisions)
    pilot = draws < np.asarray([plan.share(index) for index in range(plan.decisions)])
    return _World(people, contacts, true_acceptance(people, contacts, offered.actions, plan.changed), offered, pilot)


def _populate(world: _World, plan: Plan, desk: Desk, advance: Advance) -> None:
    step = 100
    for start in range(0, plan.customers, step):
        indices = range(start, min(start + step, plan.customers))
        desk.send([e for i in indices for e in history(world.people, i, f"{plan.prefix}-{plan.seed}-{i}")])
        advance("customers", start + len(indices), plan.customers)
    desk.settle()


def _ask(world: _World, plan: Plan, index: int) -> dict[str, Any]:
    placement = PILOT if world.pilot[index] else DESKTOP
    who = f"user_id:{world.user(plan, index)}"
    return {"profile": who, "placement": placement, "context": context_of(world.contacts, index), "limit": 1}


def _worth(world: _World, plan: Plan, index: int, answer: Mapping[str, Any]) -> tuple[float, ...]:
    """Expected reward of what was shown, uniform and oracle over what was permitted, the reward drawn, which action was
    shown and which one the oracle prefers."""
    held_back = {one["action_id"] for one in answer["blocked"]}
    actions = enumerate(world.offered.actions)
    permitted = [i for i, action in actions if action not in held_back and plan.offers(action, index)]
    gains = world.truth[index] * np.asarray(world.offered.values)
    shown = world.offered.actions.index(answer["actions"][0]["action_id"])
    accepted = world.contacts.luck[index] < world.truth[index, shown]
    drawn = world.offered.values[shown] if accepted else 0.0
    best = permitted[int(gains[permitted].argmax())]
    return float(gains[shown]), float(gains[permitted].mean()), float(gains[best]), drawn, shown, best


def _outcomes(answer: Mapping[str, Any], drawn: float) -> list[dict[str, Any]]:
    named = {"decision_id": answer["decision_id"], "action_id": answer["actions"][0]["action_id"], "by": "simulator"}
    said = {"outcome": "accepted", "value": drawn} if drawn else {"outcome": "declined"}
    return [{**named, "outcome": "presented"}, {**named, **said}]


def run(plan: Plan, offered: Offered, desk: Desk, advance: Advance) -> Curve:
    """Send the customers, then decide, answer and learn until the plan is done."""
    world = _world(plan, offered)
    _populate(world, plan, desk, advance)
    worth = np.zeros((plan.decisions, 6))
    trained: list[Trained] = []
    events = {plan.changed or 0, plan.added[1] if plan.added else 0, *plan.retrain}
    stops = sorted({0, plan.decisions, *range(0, plan.decisions, BATCH), *events})
    for start, stop in pairwise(stops):
        answers = desk.decide([_ask(world, plan, index) for index in range(start, stop)])
        worth[start:stop] = [_worth(world, plan, i, answer) for i, answer in enumerate(answers, start)]
        pairs = zip(answers, worth[start:stop, 3].tolist(), strict=True)
        desk.report([one for answer, drawn in pairs for one in _outcomes(answer, drawn)])
        advance("decisions", stop, plan.decisions)
        if stop in plan.retrain:
            trained.append(desk.retrain(stop, plan.since(stop)))
    shown, best = worth[:, 4].astype(np.int64), worth[:, 5].astype(np.int64)
    return Curve(worth[:, 0], worth[:, 1], worth[:, 2], worth[:, 3], shown, best, world.pilot, tuple(trained))
