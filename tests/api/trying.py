"""A world in which something is being tried."""

from typing import Any

import msgspec

from engine.allocation import Allocation
from engine.catalog import Catalogue, parse_catalogue
from engine.experiment_plan import Known, parse_plan
from tests.api.world import Rig


def try_out(rig: Rig, **plan: Any) -> None:
    """From now on this plan is in force."""
    current = rig.configuration.current
    known = Known(current.catalogue.placements, current.catalogue.actions, current.purposes.purposes)
    allocation = Allocation(parse_plan(plan, known), current.catalogue)
    for catalogue in allocation.catalogues:
        rig.past.keep(catalogue, current.purposes)
    rig.configuration.current = msgspec.structs.replace(current, allocation=allocation)


def edit_policy(rig: Rig, **policy: Any) -> Catalogue:
    """From now on contacts are limited like this, and nothing is tried."""
    document = msgspec.to_builtins(rig.configuration.current.catalogue.documents)
    return edit(rig, {**document, "contact_policy": {**document["contact_policy"], **policy}})


def edit_actions(rig: Rig, **changes: Any) -> Catalogue:
    """From now on every action is like this, and nothing is tried."""
    document = msgspec.to_builtins(rig.configuration.current.catalogue.documents)
    return edit(rig, {**document, "actions": [{**one, **changes} for one in document["actions"]]})


def edit(rig: Rig, document: dict[str, Any]) -> Catalogue:
    """From now on this is the catalogue, and nothing is tried."""
    current = rig.configuration.current
    catalogue = parse_catalogue(document)
    rig.past.keep(catalogue, current.purposes)
    rig.configuration.current = msgspec.structs.replace(current, catalogue=catalogue)
    try_out(rig)
    return catalogue
