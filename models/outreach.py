"""Outreach queues for many people at once: screens each, scores all with one call of the model. Knows nothing of where
queues are kept."""

from collections.abc import Sequence

import msgspec
import numpy as np

from engine.catalog import Queue
from engine.consent import country_of, resolve
from engine.decision import Scored
from engine.outreach import entry_of, urgency_of
from engine.ports import Entry, PersonView
from engine.quiet import first_loud, hours_of, located
from features.compute import Context, CrossCounts, Offer, fill
from models.gate import Person, Screened, Sights, bearing, screen, segment_of
from models.scorer import Rows
from models.serving import Setting

_NOBODY = CrossCounts()


class _Turn(msgspec.Struct, frozen=True, eq=False):
    """One person who belongs in one queue, with the candidates and their rows."""

    queue: Queue
    profile_id: str
    screened: Screened
    rows: Rows
    urgency: float
    due: int
    used: tuple[str, ...]


def queue_entries(views: Sequence[PersonView], setting: Setting, at: int) -> list[Entry]:
    """The entries these people have now, over all queues; who has none belongs in no queue. `at` in ms."""
    turns = [turn for view in views for turn in _turns(view, setting, at)]
    if not turns:
        return []
    chances = setting.model.probabilities(np.concatenate([turn.rows for turn in turns])).tolist()
    entries = []
    for turn in turns:
        own, chances = chances[: len(turn.rows)], chances[len(turn.rows) :]
        scored = [
            Scored(a.id, chance, a.value, 1.0, a.lever, a.explorable, a.group)
            for a, chance in zip(turn.screened.actions, own, strict=True)
        ]
        entry = entry_of(turn.queue, turn.profile_id, scored, turn.urgency, (at, turn.due))
        entries.append(msgspec.structs.replace(entry, used=turn.used))
    return entries


def _turns(view: PersonView, setting: Setting, at: int) -> list[_Turn]:
    catalogue = setting.catalogue
    profile = view.profile
    consent = located(resolve(view.held, setting.purposes, country_of(profile), at), profile)
    sights = Sights(Person(profile, consent, setting.purposes, {}, at), bearing(setting.purposes))
    turns = []
    for queue in catalogue.queues.values():
        sight = sights.of(catalogue.actions[queue.actions[0]].purpose) if queue.actions else None
        urgency = urgency_of(queue, catalogue, sight.facts) if sight is not None else None
        # contact rules are asked as of the hour in which the person may be approached
        due = first_loud(queue.channel, catalogue.policy, consent, at) if urgency is not None else None
        if sight is None or urgency is None or due is None:
            continue
        screened = _screened(sights, queue, setting, hours_of(consent, catalogue.policy, due))
        if screened.actions:
            segment = segment_of(sights, catalogue)
            cross = tuple(setting.cross.get((a.id, segment), _NOBODY) for a in screened.actions)
            offer = Offer(screened.actions, cross, Context(queue.placement), at)
            rows = fill([s.observed for s in screened.sights], offer)
            used = {p for one in (sight, *screened.sights) for p in one.observed.visible.purposes}
            turns.append(_Turn(queue, view.profile_id, screened, rows, urgency, due, tuple(sorted(used))))
    return turns


def _screened(sights: Sights, queue: Queue, setting: Setting, hours: frozenset[int]) -> Screened:
    everything = screen(sights, setting.catalogue, setting.catalogue.placements[queue.placement], hours)
    pairs = [(a, s) for a, s in zip(everything.actions, everything.sights, strict=True) if a.id in queue.actions]
    return Screened(tuple(a for a, _ in pairs), tuple(s for _, s in pairs), ())
