"""A decision from what is stored about a person to the answer, with everything it rested on. Knows nothing of storage,
of transport or of training; time and the decision's id are given to it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import msgspec
import numpy as np

from engine.catalog import Catalogue, Placement
from engine.consent import Consent, Purposes, country_of, resolve
from engine.decision import Policy, Scored, seed_of
from engine.decision import decide as draw
from engine.errors import InvalidRequest
from engine.limits import FREQUENCY
from engine.ports import PersonView
from engine.profile import Contact, Profile, merge
from engine.quiet import ever_quiet, hours_of, located, zones_of
from engine.records import DecisionRecord, Position
from engine.reservation import most_shown, once_per_group
from engine.wishes import most_wished
from features.compute import Context, CrossCounts, Offer, action_values, fill
from features.spec import COLUMNS
from models.answer import context_weight, holding
from models.gate import Person, Screened, Sights, bearing, screen, segment_of
from models.record import Drawn, Weighed, record_of
from models.scorer import Model, Rows, Scorer
from models.seal import sealed

_NOBODY = CrossCounts()


class Known(msgspec.Struct, frozen=True, eq=False):
    """Who a view is of, put together once: the merged profile and the consent of one moment."""

    profile: Profile
    consent: Consent


def known_of(view: PersonView, purposes: Purposes, at: int) -> Known:
    """The person at `at` (ms)."""
    profile = merge([s.fragment for s in view.stored], view.members or (view.profile_id,), view.link_version)
    return Known(profile, resolve(view.held, purposes, country_of(profile), at))


class Ask(msgspec.Struct, frozen=True):
    """One question: what to do for this person here and now. `at` in ms; `limit` at most the placement's own. `arms` is
    what the person was dealt, `reserved` what was promised to it and not made yet; `known` spares putting the person
    together again."""

    view: PersonView
    placement: str
    context: Mapping[str, Any]
    decision_id: str
    at: int
    limit: int | None = None
    arms: Mapping[str, str] = {}
    reserved: tuple[Contact, ...] = ()
    known: Known | None = None


class Question(msgspec.Struct, frozen=True):
    """An ask without its person: what was asked, under which id, and the positions of the fragments that were read.
    `segment` is only given where it cannot be told from the person."""

    decision_id: str
    placement: str
    limit: int | None
    positions: tuple[Position, ...]
    arms: Mapping[str, str] = {}
    segment: str = ""


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
    return [made for made in deciding(asks, setting) if made is not None]


def deciding(asks: Sequence[Ask], setting: Setting) -> Iterator[DecisionRecord | None]:
    """The same in pieces: None before each of them, where others may be let in who need not wait for all."""
    data_purposes = bearing(setting.purposes)
    weighed: list[Weighed] = []
    for ask in asks:
        yield None
        weighed.append(_weigh(ask, setting, data_purposes))
    yield None
    chances = list(_probabilities([one.rows for one in weighed], setting.model))
    for one, own in zip(weighed, chances, strict=True):
        yield None
        yield drawn_record(one, own, setting)


def redecide(question: Question, sights: Sights, setting: Setting) -> DecisionRecord:
    """The same decision from what is known of the person already: what a replay and a what-if are made of."""
    weighed = weigh(question, sights, setting)
    [chances] = _probabilities([weighed.rows], setting.model)
    return drawn_record(weighed, chances, setting)


def drawn_record(weighed: Weighed, chances: Sequence[float], setting: Setting) -> DecisionRecord:
    record = record_of(weighed, _draw(weighed, chances, setting), setting.catalogue, setting.model.version)
    return sealed(record, weighed.sights.person, setting.catalogue)


def _probabilities(blocks: Sequence[Rows], model: Scorer) -> Iterator[list[float]]:
    rows = np.concatenate(blocks) if blocks else np.empty((0, len(COLUMNS)), dtype=np.float32)
    chances = model.probabilities(rows).tolist() if len(rows) else []
    start = 0
    for block in blocks:
        yield chances[start : start + len(block)]
        start += len(block)


@lru_cache(maxsize=256)
def _action_rows(catalogue: Catalogue, placement: str) -> tuple[dict[str, int], Rows]:
    """The action view of everything placed there, made once: where each action's row is, and the rows."""
    actions = catalogue.placed(placement)
    rows = np.asarray([action_values(action) for action in actions], dtype=np.float32)
    return {action.id: at for at, action in enumerate(actions)}, rows


def _placement(name: str, catalogue: Catalogue) -> Placement:
    placement = catalogue.placements.get(name)
    if placement is None:
        raise InvalidRequest(f"unknown placement; the catalogue has {', '.join(sorted(catalogue.placements))}")
    return once_per_group(placement, catalogue.policy)


def _limit(asked: int | None, placement: Placement) -> int:
    return placement.limit if asked is None else max(1, min(asked, placement.limit))


def _room(limit: int, screened: Screened, placement: Placement, rules: tuple[Catalogue, int]) -> int:
    """The slate's length at most: no more approaches than the caps still leave."""
    catalogue, at = rules
    if not placement.contact or not screened.sights:
        return limit
    room = most_shown(placement, catalogue.policy, screened.sights[0].answers.contacts, at)
    return limit if room is None else min(limit, max(room, 1))


def _weigh(ask: Ask, setting: Setting, data_purposes: frozenset[str]) -> Weighed:
    known = ask.known or known_of(ask.view, setting.purposes, ask.at)
    placement = _placement(ask.placement, setting.catalogue)
    consent = _located(known, placement, setting.catalogue)
    person = Person(known.profile, consent, setting.purposes, ask.context, ask.at, ask.reserved)
    sights = Sights(person, data_purposes)
    positions = tuple(s.position for s in ask.view.stored)
    limit = _asked(ask, known.consent, placement)
    return weigh(Question(ask.decision_id, ask.placement, limit, positions, ask.arms), sights, setting)


def _asked(ask: Ask, consent: Consent, placement: Placement) -> int | None:
    """How many are asked for: no more approaches than the person still wishes for. A replay takes the record's limit
    and does not come here: longer slates, made before this was looked at, come out as they were."""
    if not placement.contact or not consent.settings.get(FREQUENCY):
        return ask.limit
    room = most_wished(consent.settings, (*ask.view.contacts, *ask.reserved), ask.at)
    return min((limit for limit in (ask.limit, room) if limit is not None), default=None)


def _located(known: Known, placement: Placement, catalogue: Catalogue) -> Consent:
    """The consent with the time zones of phone numbers, where anything depends on them: the record keeps them."""
    asked = placement.contact and ever_quiet(placement.channel, catalogue.policy, known.consent)
    return located(known.consent, known.profile) if asked else known.consent


def weigh(question: Question, sights: Sights, setting: Setting) -> Weighed:
    """One decision up to the model. Raises `InvalidRequest` for a placement the catalogue does not have."""
    catalogue, person = setting.catalogue, sights.person
    placement = _placement(question.placement, catalogue)
    screened = screen(sights, catalogue, placement, hours_of(person.consent, catalogue.policy, person.at))
    segment = question.segment or _segment(sights, catalogue)
    cross = tuple(setting.cross.get((action.id, segment), _NOBODY) for action in screened.actions)
    return Weighed(
        decision_id=question.decision_id,
        placement=placement,
        limit=_room(_limit(question.limit, placement), screened, placement, (catalogue, person.at)),
        positions=question.positions,
        sights=sights,
        screened=screened,
        segment=segment,
        zone=zones_of(person.consent, catalogue.policy),
        cross=cross,
        rows=_rows(person, screened, (placement.id, cross), catalogue),
        arms=question.arms,
    )


def _segment(sights: Sights, catalogue: Catalogue) -> str:
    sights.serve()
    return segment_of(sights, catalogue)


def _rows(person: Person, screened: Screened, where: tuple[str, Sequence[CrossCounts]], catalogue: Catalogue) -> Rows:
    placement, cross = where
    at, ready = _action_rows(catalogue, placement)
    views = ready[[at[action.id] for action in screened.actions]] if screened.actions else None
    offer = Offer(screened.actions, cross, Context(placement, person.context), person.at, views)
    return fill([sight.observed for sight in screened.sights], offer)


def _draw(weighed: Weighed, chances: Sequence[float], setting: Setting) -> Drawn:
    held = holding(setting.catalogue.weight_keys, weighed.sights.person.context)
    votes = draws_of(weighed, setting.model)
    scored = tuple(
        Scored(a.id, chance, a.value, context_weight(a, held), a.lever, a.explorable, a.group, drawn)
        for a, chance, drawn in zip(weighed.screened.actions, chances, votes, strict=True)
    )
    policy = Policy(weighed.placement.exploration, weighed.limit, weighed.placement.unique_groups)
    seed = seed_of(weighed.decision_id)
    return Drawn(scored, policy, seed, draw(scored, policy, seed))


def draws_of(weighed: Weighed, model: Scorer) -> Iterable[tuple[float, ...]]:
    """What the members of the ensemble say of each candidate; nothing where nobody draws from them."""
    if weighed.placement.exploration.kind != "thompson" or not isinstance(model, Model) or not model.members:
        return repeat((), len(weighed.rows))
    return map(tuple, model.draws(weighed.rows).tolist())
