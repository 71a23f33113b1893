"""A decision from what is stored about a person to the answer, with everything it rested on. Knows nothing of storage,
of transport or of training; time and the decision's id are given to it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from engine.catalog import Catalogue, Placement
from engine.consent import Purposes, country_of, resolve
from engine.decision import Policy, Scored, local_hour, seed_of
from engine.decision import decide as draw
from engine.errors import InvalidRequest
from engine.ports import PersonView
from engine.profile import merge
from engine.records import DecisionRecord
from features.compute import Context, CrossCounts, Offer, action_values, fill
from features.spec import COLUMNS
from models.answer import context_weight
from models.gate import Person, Screened, Sights, bearing, screen, segment_of
from models.record import Drawn, Weighed, record_of
from models.scorer import Rows, Scorer

_NOBODY = CrossCounts()


class Ask(msgspec.Struct, frozen=True):
    """One question: what to do for this person here and now. `at` in ms; `limit` at most the placement's own."""

    view: PersonView
    placement: str
    context: Mapping[str, Any]
    decision_id: str
    at: int
    limit: int | None = None


class Setting(msgspec.Struct, frozen=True):
    """What all decisions of a moment share. `cross` maps (action id, segment) to its counts."""

    catalogue: Catalogue
    purposes: Purposes
    model: Scorer
    cross: Mapping[tuple[str, str], CrossCounts]


def decide(ask: Ask, setting: Setting) -> DecisionRecord:
    """Answer one ask. Raises `InvalidRequest` for a placement the catalogue does not have."""
    return decide_many((ask,), setting)[0]


def decide_many(asks: Sequence[Ask], setting: Setting) -> list[DecisionRecord]:
    """Answer many asks with one call of the model. The same asks and setting give the same bytes (law 6)."""
    data_purposes = bearing(setting.purposes)
    weighed = [_weigh(ask, setting, data_purposes) for ask in asks]
    chances = _probabilities([one.rows for one in weighed], setting.model)
    return [
        record_of(one, _draw(one, own), setting.catalogue, setting.model.version)
        for one, own in zip(weighed, chances, strict=True)
    ]


def _probabilities(blocks: Sequence[Rows], model: Scorer) -> Iterator[list[float]]:
    rows = np.concatenate(blocks) if blocks else np.empty((0, len(COLUMNS)), dtype=np.float32)
    chances = model.probabilities(rows).tolist() if len(rows) else []
    start = 0
    for block in blocks:
        yield chances[start : start + len(block)]
        start += len(block)


@lru_cache(maxsize=32)
def _action_rows(catalogue: Catalogue, placement: str) -> tuple[dict[str, int], Rows]:
    """The action view of everything placed there, made once: where each action's row is, and the rows."""
    actions = catalogue.placed(placement)
    rows = np.asarray([action_values(action) for action in actions], dtype=np.float32)
    return {action.id: at for at, action in enumerate(actions)}, rows


def _placement(ask: Ask, catalogue: Catalogue) -> Placement:
    placement = catalogue.placements.get(ask.placement)
    if placement is None:
        raise InvalidRequest(f"unknown placement; the catalogue has {', '.join(sorted(catalogue.placements))}")
    return placement


def _limit(ask: Ask, placement: Placement) -> int:
    return placement.limit if ask.limit is None else max(1, min(ask.limit, placement.limit))


def _weigh(ask: Ask, setting: Setting, data_purposes: frozenset[str]) -> Weighed:
    catalogue, view = setting.catalogue, ask.view
    placement = _placement(ask, catalogue)
    profile = merge([s.fragment for s in view.stored], view.members or (view.profile_id,), view.link_version)
    consent = resolve(view.held, setting.purposes, country_of(profile))
    sights = Sights(Person(profile, consent, setting.purposes, ask.context, ask.at), data_purposes)
    zone = consent.settings.get("time_zone", catalogue.policy.default_zone)
    screened = screen(sights, catalogue, placement, local_hour(ask.at, zone, catalogue.policy.default_zone))
    segment = segment_of(sights, catalogue)
    cross = tuple(setting.cross.get((action.id, segment), _NOBODY) for action in screened.actions)
    return Weighed(
        decision_id=ask.decision_id,
        placement=placement,
        limit=_limit(ask, placement),
        positions=tuple(s.position for s in view.stored),
        sights=sights,
        screened=screened,
        segment=segment,
        zone=zone,
        cross=cross,
        rows=_rows(ask, screened, cross, catalogue),
    )


def _rows(ask: Ask, screened: Screened, cross: Sequence[CrossCounts], catalogue: Catalogue) -> Rows:
    at, ready = _action_rows(catalogue, ask.placement)
    views = ready[[at[action.id] for action in screened.actions]] if screened.actions else None
    offer = Offer(screened.actions, cross, Context(ask.placement, ask.context), ask.at, views)
    return fill([sight.observed for sight in screened.sights], offer)


def _draw(weighed: Weighed, chances: Sequence[float]) -> Drawn:
    context = weighed.sights.person.context
    scored = tuple(
        Scored(a.id, chance, a.value, context_weight(a, context), a.lever, a.explorable, a.group)
        for a, chance in zip(weighed.screened.actions, chances, strict=True)
    )
    policy = Policy(weighed.placement.exploration, weighed.limit, weighed.placement.unique_groups)
    seed = seed_of(weighed.decision_id)
    return Drawn(scored, policy, seed, draw(scored, policy, seed))
