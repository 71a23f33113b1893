"""Reads a plan of experiments from plain data (as read from YAML) and says what is wrong with it, place by place. Deals
nobody."""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from engine.catalog import instant
from engine.experiment import CONTROL, MILLION, SLATES, Experiment, InvalidExperiments, Plan, Variant, parts

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
Problem = tuple[str, str]


class Known(msgspec.Struct, frozen=True):
    """The names a plan may use."""

    placements: Collection[str]
    actions: Collection[str]
    purposes: Collection[str]


def _share_problems(field: str, share: float) -> Iterator[Problem]:
    if not 0.0 <= share <= 1.0:
        yield field, "a share lies between 0 and 1"
    elif abs(share * MILLION - parts(share)) > 1e-6:
        yield field, "a share has at most six decimals"


def _name_problems(field: str, names: Iterable[str], known: Collection[str]) -> Iterator[Problem]:
    wrong = [name for name in names if name not in known]
    if wrong:
        yield field, f"unknown: {', '.join(wrong)}; known are {', '.join(sorted(known))}"


def _day_problems(field: str, day: str | None) -> Iterator[Problem]:
    try:
        instant(day, 0)
    except ValueError:
        yield field, "not an ISO 8601 date or time; write for example 2026-01-31"


def _variant_problems(path: str, variant: Variant, actions: Collection[str]) -> Iterator[Problem]:
    if not _NAME.fullmatch(variant.id):
        yield f"{path}.id", "1 to 64 letters, digits, dots, dashes or underscores"
    yield from _share_problems(f"{path}.share", variant.share)
    yield from _name_problems(f"{path}.levers", variant.levers, actions)
    if any(not 0.0 <= lever < float("inf") for lever in variant.levers.values()):
        yield f"{path}.levers", "a lever is a number of 0 or more"
    if variant.exploration is not None:
        yield from _share_problems(f"{path}.exploration.share", variant.exploration.share)


def _experiment_problems(path: str, one: Experiment, known: Known) -> Iterator[Problem]:
    if not _NAME.fullmatch(one.id) or one.id == CONTROL or one.id in known.placements:
        yield f"{path}.id", f"letters, digits, dots, dashes or underscores; not {CONTROL}, and no placement's name"
    if len(one.variants) < 2:
        yield f"{path}.variants", "an experiment compares at least two variants"
    ids = [variant.id for variant in one.variants]
    if len(set(ids)) < len(ids):
        yield f"{path}.variants", "a variant is used twice; give one of them another id"
    for place, variant in enumerate(one.variants):
        yield from _variant_problems(f"{path}.variants[{place}]", variant, known.actions)
    if sum(parts(variant.share) for variant in one.variants) != MILLION:
        yield f"{path}.variants", "the shares of the variants add up to 1"
    if one.default and one.default not in ids:
        yield f"{path}.default", f"unknown: {one.default}; known are {', '.join(ids)}"
    elif one.variants and one.baseline.changes:
        yield f"{path}.default", "the default variant is what serves without the experiment, so it changes nothing"
    yield from _share_problems(f"{path}.share", one.share)
    yield from _name_problems(f"{path}.purpose", [one.purpose], known.purposes)
    yield from _name_problems(f"{path}.placements", one.placements, known.placements)
    yield from _day_problems(f"{path}.start", one.start)
    yield from _day_problems(f"{path}.end", one.end)
    if not one.horizon_days > 0:
        yield f"{path}.horizon_days", "more than 0"


def _layer_problems(plan: Plan) -> Iterator[Problem]:
    layers: dict[str, int] = {}
    explored: set[str] = set()
    modelled: set[str] = set()
    for place, one in enumerate(plan.experiments):
        layer = one.layer or one.id
        layers[layer] = layers.get(layer, 0) + parts(one.share)
        if layers[layer] > MILLION:
            yield f"experiments[{place}].share", f"the shares of layer {layer} add up to more than 1"
        explored |= {layer for variant in one.variants if variant.exploration is not None}
        modelled |= {layer for variant in one.variants if variant.model}
        for changed, what in ((explored, "the exploration"), (modelled, "the model")):
            if len(changed) > 1:
                yield f"experiments[{place}].layer", f"two layers change {what}; put both experiments into one layer"


def _problems(plan: Plan, known: Known) -> Iterator[Problem]:
    yield from _share_problems("control.share", plan.control.share)
    yield from _name_problems("control.slate", [plan.control.slate], SLATES)
    yield from _name_problems("control.purpose", [plan.control.purpose], known.purposes)
    yield from _name_problems("control.placements", plan.control.placements, known.placements)
    ids: list[str] = []
    for place, one in enumerate(plan.experiments):
        if one.id in ids:
            yield f"experiments[{place}].id", f"{one.id} is used twice"
        ids.append(one.id)
        yield from _experiment_problems(f"experiments[{place}]", one, known)
    yield from _layer_problems(plan)


def parse_plan(data: Any, known: Known) -> Plan:
    """Validate plain data (as read from YAML). Raises `InvalidExperiments` naming the first place."""
    try:
        plan = msgspec.convert(data, Plan)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise InvalidExperiments(path.rstrip("`").lstrip("."), message) from error
    for path, message in _problems(plan, known):
        raise InvalidExperiments(path, message)
    return plan
