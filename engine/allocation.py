"""What an arm changes: for every combination of arms the catalogue that serves it, and the model it asks for. A changed
catalogue is a catalogue like any other, so a decision under it is logged and replayed like any other. Deals nobody."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

import msgspec

from engine.catalog import Action, Catalogue, Exploration, Placement, parse_catalogue
from engine.errors import InvalidCatalogue
from engine.experiment import CONTROL, HALTED, PRIOR, UNIFORM, Experiment, InvalidExperiments, Plan, Variant, parts

MOST_CATALOGUES = 32
Key = tuple[tuple[str, str], ...]


def _levered(action: Action, variants: Sequence[Variant]) -> Action:
    lever = action.lever
    for variant in variants:
        lever *= variant.levers.get(action.id, 1.0)
    return action if lever == action.lever else msgspec.structs.replace(action, lever=lever)


def _explored(placement: Placement, exploration: Exploration | None) -> Placement:
    return placement if exploration is None else msgspec.structs.replace(placement, exploration=exploration)


def varied(base: Catalogue, variants: Sequence[Variant]) -> Catalogue:
    """The catalogue as these variants want it. Raises `InvalidExperiments` where it would not stand as one."""
    exploration = next((v.exploration for v in variants if v.exploration is not None), None)
    documents = msgspec.structs.replace(
        base.documents,
        actions=tuple(_levered(action, variants) for action in base.documents.actions),
        placements=tuple(_explored(placement, exploration) for placement in base.documents.placements),
    )
    try:
        return parse_catalogue(msgspec.to_builtins(documents))
    except InvalidCatalogue as error:
        raise InvalidExperiments("experiments", f"a variant makes the catalogue unusable: {error}") from error


def _recasting(experiment: Experiment) -> Iterator[tuple[str, Variant]]:
    """The variants that need a catalogue of their own."""
    return ((experiment.id, v) for v in experiment.variants if v.exploration is not None or v.levers)


def _combinations(plan: Plan) -> Iterator[tuple[tuple[str, Variant], ...]]:
    layers: dict[str, list[tuple[str, Variant] | None]] = {}
    for experiment in plan.experiments:
        layers.setdefault(experiment.layer or experiment.id, [None]).extend(_recasting(experiment))
    for chosen in product(*layers.values()):
        yield tuple(one for one in chosen if one is not None)


def _treatment(plan: Plan) -> Variant:
    """What being in the control group changes."""
    kind = "uniform" if plan.control.slate == UNIFORM else "none"
    return Variant(CONTROL, plan.control.share, exploration=Exploration(kind), model=PRIOR)


class Allocation:
    """A plan over a catalogue. `catalogues` are all that can serve under it, the plain one first."""

    def __init__(self, plan: Plan, base: Catalogue) -> None:
        """Raises `InvalidExperiments` where the layers make more catalogues than could be kept."""
        self.plan = plan
        self.base = base
        self._control = _treatment(plan)
        combinations = [chosen for chosen in _combinations(plan) if chosen]
        if len(combinations) > MOST_CATALOGUES:
            problem = f"the layers make {len(combinations)} catalogues, more than {MOST_CATALOGUES}"
            raise InvalidExperiments("experiments", f"{problem}; put experiments into one layer")
        self._varied: dict[Key, Catalogue] = {_key(chosen): varied(base, _only(chosen)) for chosen in combinations}
        if parts(plan.control.share):
            self._varied[((CONTROL, CONTROL),)] = varied(base, (self._control,))

    @property
    def catalogues(self) -> tuple[Catalogue, ...]:
        return self.base, *self._varied.values()

    def _treatments(self, arms: Mapping[str, str]) -> Iterator[tuple[str, Variant]]:
        if arms.get(CONTROL) == CONTROL:
            yield CONTROL, self._control
            return
        for experiment in self.plan.experiments if arms else ():
            variant = experiment.variant(arms.get(experiment.id, ""))
            if variant is not None:
                yield experiment.id, variant

    def catalogue(self, arms: Mapping[str, str]) -> Catalogue:
        """What serves a person in these arms."""
        chosen = [(n, v) for n, v in self._treatments(arms) if v.exploration is not None or v.levers]
        return self._varied[_key(chosen)] if chosen else self.base

    def model(self, arms: Mapping[str, str]) -> str:
        """The version that scores for a person in these arms; empty for the champion."""
        return next((variant.model for _, variant in self._treatments(arms) if variant.model), "")

    def models(self) -> Iterator[tuple[str, str]]:
        """(experiment, version) for every version that a variant names."""
        return ((one.id, v.model) for one in self.plan.experiments for v in one.variants if v.model)


def _key(chosen: Iterable[tuple[str, Variant]]) -> Key:
    return tuple((name, variant.id) for name, variant in chosen)


def _only(chosen: Iterable[tuple[str, Variant]]) -> tuple[Variant, ...]:
    return tuple(variant for _, variant in chosen)


def without(arms: Mapping[str, str], halted: frozenset[str]) -> Mapping[str, str]:
    """The arms with those of experiments that cannot run right now marked as such: nobody is half treated."""
    return {name: HALTED if name in halted else arm for name, arm in arms.items()} if halted else arms
