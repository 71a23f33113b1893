"""Experiments and the universal control group: what they are, and which arm a person is in. The same person, salt and
plan give the same arm, whoever asks and whenever. Knows nothing of what an arm changes, of files or of results."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from engine.catalog import Exploration, instant
from engine.errors import EngineError
from engine.ports import PersonView

MILLION = 1_000_000
CONTROL, ENGINE = "control", "engine"
OUTSIDE = "outside:"
NO_CONSENT, IN_CONTROL, HALTED = f"{OUTSIDE}consent", f"{OUTSIDE}control", f"{OUTSIDE}halted"
UNIFORM, PRIOR = SLATES = ("uniform", "prior")
_ENDLESS = 1 << 62


class InvalidExperiments(EngineError):
    """An entry of the plan that cannot be used; `path` names it (`experiments[0].variants[1].share`)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One arm. `share` of the experiment's people in [0, 1]; `value` is what a flag client gets (None: the id).
    `exploration` replaces that of the placements, `levers` multiply those of actions, `model` names the version that
    scores (`prior`: the assumed rates)."""

    id: str
    share: float
    value: Any = None
    exploration: Exploration | None = None
    levers: dict[str, float] = {}
    model: str = ""

    @property
    def told(self) -> Any:
        return self.id if self.value is None else self.value

    @property
    def changes(self) -> bool:
        """Whether decisions come out different in this arm, and not only what a flag client gets."""
        return self.exploration is not None or bool(self.levers) or bool(self.model)


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question put to a `share` of people, drawn apart from every other layer's; experiments of one layer share its
    people without overlap. Who refuses `purpose` stays outside and gets the `default` variant (the first, if unnamed).
    Times are ISO 8601; `horizon_days` is how long one person's responses are counted."""

    id: str
    variants: tuple[Variant, ...]
    title: str = ""
    default: str = ""
    share: float = 1.0
    layer: str = ""
    purpose: str = "personalization"
    placements: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    horizon_days: float = 7.0

    @property
    def baseline(self) -> Variant:
        """The variant of whoever is outside, and what the others are compared with."""
        return next((v for v in self.variants if v.id == self.default), self.variants[0])

    def running(self, at: int) -> bool:
        return instant(self.start, 0) <= at < instant(self.end, _ENDLESS)

    def concerns(self, placement: str) -> bool:
        return not self.placements or placement in self.placements

    def variant(self, arm: str) -> Variant | None:
        return next((v for v in self.variants if v.id == arm), None)


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The share of people for whom no model works: their slates are drawn uniformly (`uniform`) or follow the assumed
    rates (`prior`), and no experiment touches them."""

    share: float = 0.0
    slate: str = UNIFORM
    purpose: str = "personalization"
    placements: tuple[str, ...] = ()
    horizon_days: float = 7.0

    def concerns(self, placement: str) -> bool:
        return not self.placements or placement in self.placements


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that is being tried. Another `salt` deals everybody anew."""

    salt: str = "rapport"
    control: Control = Control()
    experiments: tuple[Experiment, ...] = ()

    @property
    def idle(self) -> bool:
        return not self.experiments and not parts(self.control.share)

    def named(self, experiment: str) -> Experiment | None:
        return next((one for one in self.experiments if one.id == experiment), None)


def parts(share: float) -> int:
    """A share as whole millionths, so that shares add up exactly."""
    return round(share * MILLION)


def bucket(salt: str, name: str, identity: str) -> int:
    """Where an id falls, in [0, 1,000,000): even over ids, and unrelated between names."""
    digest = hashlib.blake2b(f"{salt}\x1f{name}\x1f{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * MILLION >> 64


def first_seen(view: PersonView) -> str:
    """The person's identifier that was seen first, the stronger of two at the same moment; an id nothing is known of
    is its own. A decision about an id is a sight of it, so whoever was dealt before being known stays dealt."""
    ranks = {identity: rank for rank, identity in enumerate(view.members)}
    seen: dict[str, int] = {}
    for stored in view.stored:
        state = stored.fragment.state
        sights = [(stored.fragment.id, state.first)] if state.count else []
        for identity, at in (*sights, *((i, known.at) for i, known in state.identifiers.items())):
            if identity in ranks:
                seen[identity] = min(at, seen.get(identity, at))
    return min(seen, key=lambda i: (seen[i], ranks[i]), default=view.profile_id)


def _dealt(shares: Iterable[tuple[str, float]], at: int) -> str | None:
    """Whose half-open range [low, high) of millionths `at` lies in."""
    low = 0
    for name, share in shares:
        high = low + parts(share)
        if low <= at < high:
            return name
        low = high
    return None


def in_control(plan: Plan, identity: str) -> bool:
    return bucket(plan.salt, CONTROL, identity) < parts(plan.control.share)


def arm_of(plan: Plan, experiment: Experiment, identity: str) -> str | None:
    """The variant this id falls to, whatever the person allows; None outside the experiment's share."""
    layer = experiment.layer or experiment.id
    sharing = [(one.id, one.share) for one in plan.experiments if (one.layer or one.id) == layer]
    if _dealt(sharing, bucket(plan.salt, f"layer:{layer}", identity)) != experiment.id:
        return None
    shares = [(variant.id, variant.share) for variant in experiment.variants]
    return _dealt(shares, bucket(plan.salt, f"experiment:{experiment.id}", identity))


class Person(msgspec.Struct, frozen=True, eq=False):
    """Who is dealt: the first-seen id and which purposes the person allows."""

    identity: str
    allows: Callable[[str], bool]


def assigned(plan: Plan, experiment: Experiment, person: Person, at: int) -> str | None:
    """The person's arm: a variant's id, why the person is kept outside (`outside:consent`, `outside:control`), or None
    where the experiment does not run or did not draw the person."""
    if not experiment.running(at):
        return None
    arm = arm_of(plan, experiment, person.identity)
    if arm is None:
        return None
    if not person.allows(experiment.purpose):
        return NO_CONSENT
    if in_control(plan, person.identity) and person.allows(plan.control.purpose):
        return IN_CONTROL
    return arm


def arms_at(plan: Plan, placement: str, person: Person, at: int) -> dict[str, str]:
    """Every arm that bears on a decision at this placement, by experiment; `control` is the control group's."""
    arms: dict[str, str] = {}
    control = plan.control
    if parts(control.share) and control.concerns(placement):
        dealt = CONTROL if in_control(plan, person.identity) else ENGINE
        arms[CONTROL] = dealt if person.allows(control.purpose) else NO_CONSENT
    for experiment in plan.experiments:
        arm = assigned(plan, experiment, person, at) if experiment.concerns(placement) else None
        if arm is not None:
            arms[experiment.id] = arm
    return arms


def value_for(experiment: Experiment, arm: str | None) -> Variant:
    """The variant whose value a person in this arm gets; whoever is outside gets the default's."""
    return (experiment.variant(arm) if arm is not None else None) or experiment.baseline


def dealt_shares(plan: Plan, name: str) -> Mapping[str, float]:
    """The share of each arm among the people who are in one, by arm."""
    if name == CONTROL:
        return {ENGINE: 1.0 - plan.control.share, CONTROL: plan.control.share}
    experiment = plan.named(name)
    return {variant.id: variant.share for variant in experiment.variants} if experiment is not None else {}
