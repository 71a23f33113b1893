"""What would have won had one input been another: a trait, a value of the context, a consent, or a signal. Made by the
code that serves, from what the record shows; it opens nothing that was closed, and nothing it makes is kept."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from engine.consent import CONTRACT, Answer, Consent, trait_purpose
from engine.profile import Trait
from engine.records import DecisionRecord
from engine.rules import Facts
from features.compute import Observed
from features.spec import BY_VIEW
from models.explain import explain
from models.gate import Person, Sight, Sights, bearing
from models.recorded import person_of
from models.replay import Past, question_of, setting_of, winner_of
from models.scorer import ModelError
from models.serving import redecide

MOST_REASONS = 4
TRAIT, CONTEXT, CONSENT, SIGNAL = KINDS = ("trait", "context", "consent", "signal")
_COLUMNS = {feature.name: place for place, feature in enumerate(BY_VIEW["profile"])}
_PURPOSES = {feature.name: feature.purpose for feature in BY_VIEW["profile"]}


class Unsupposable(ModelError):
    """The change cannot be supposed for this decision; the message says why."""


class Change(msgspec.Struct, frozen=True):
    """One input that is supposed to be another: a trait's or context key's value, whether a purpose is allowed, or the
    number in a column of the profile (`complaints_30d`)."""

    kind: str
    name: str
    value: Any


class Supposed(msgspec.Struct, frozen=True, eq=False):
    """The answer under the change. `winner` and `before` are action ids, empty where nothing could be shown; `because`
    says in sentences what became of them, `reasons` what moved the winner's probability (as `models.explain` does)."""

    answer: dict[str, Any]
    before: str
    winner: str
    because: tuple[str, ...]
    reasons: tuple[dict[str, Any], ...]


class SupposedSights(Sights):
    """The views of one person in which a column of the profile has another value, wherever it is open."""

    def __init__(self, person: Person, data_purposes: frozenset[str], column: str, value: float) -> None:
        super().__init__(person, data_purposes)
        self._column, self._value = column, value

    def through(self, purposes: Any) -> Sight:
        sight = super().through(purposes)
        place, row = _COLUMNS[self._column], sight.observed.profile
        if np.isnan(row[place]) or row[place] == np.float32(self._value):
            return sight
        changed = row.copy()
        changed[place] = self._value
        observed = Observed(sight.observed.visible, changed)
        traits = {name: trait.value for name, trait in observed.visible.traits.items()}
        return Sight(observed, Facts(traits, observed.signals, self.person.context), sight.answers)


def what_if(record: DecisionRecord, change: Change, past: Past) -> Supposed:
    """Who wins under the change. Raises `Unsupposable`, or `NotReplayable` where the past is no longer kept."""
    setting = setting_of(record, past)
    person, data_purposes = person_of(record, setting.purposes), bearing(setting.purposes)
    sights = _SIGHTS[change.kind](person, data_purposes, change)
    again = redecide(question_of(record), sights, setting)
    before, winner = winner_of(record.answer), winner_of(again.answer)
    reasons = tuple(explain(again, setting.model, most=MOST_REASONS))
    return Supposed(again.answer, before, winner, tuple(_told(record, again, before, winner)), reasons)


def _told(record: DecisionRecord, again: DecisionRecord, before: str, winner: str) -> Iterator[str]:
    if winner == before:
        yield f"{winner} would have been first all the same." if winner else "Nothing could have been shown either."
    else:
        yield f"{winner or 'Nothing'} would have been first instead of {before or 'nothing'}."
    held = {entry["action_id"]: entry["detail"] for entry in again.answer["blocked"]}
    if before and before != winner and before in held:
        yield f"{before} would have been held back: {held[before]}."
    freed = {entry["action_id"]: entry["detail"] for entry in record.answer["blocked"]}
    if winner != before and winner in freed:
        yield f"{winner} was held back: {freed[winner]}."


def _trait(person: Person, data_purposes: frozenset[str], change: Change) -> Sights:
    purpose = trait_purpose(change.name, person.policy)
    if not person.consent.allows(purpose):
        raise Unsupposable(f"the trait belongs to the purpose {purpose}, which was closed: it could change nothing")
    state = person.profile.state
    traits = {**state.traits, change.name: Trait(change.value, person.at, "what-if")}
    profile = msgspec.structs.replace(person.profile, state=msgspec.structs.replace(state, traits=traits))
    return Sights(msgspec.structs.replace(person, profile=profile), data_purposes)


def _context(person: Person, data_purposes: frozenset[str], change: Change) -> Sights:
    context = {**person.context, change.name: change.value}
    return Sights(msgspec.structs.replace(person, context=context), data_purposes)


def _consent(person: Person, data_purposes: frozenset[str], change: Change) -> Sights:
    """A purpose that was closed opens actions, not data: what it would have shown is not in the record."""
    answer = person.consent.answers.get(change.name)
    if answer is None:
        raise Unsupposable(f"no purpose of this name; there are {', '.join(sorted(person.consent.answers))}")
    if not isinstance(change.value, bool):
        raise Unsupposable("a consent is supposed as true or false")
    if answer.basis == CONTRACT and not change.value:
        raise Unsupposable("this purpose rests on the contract; it cannot be closed")
    said = msgspec.structs.replace(answer, allowed=change.value, status="granted" if change.value else "withdrawn")
    consent = _with(person.consent, change.name, said)
    return Sights(msgspec.structs.replace(person, consent=consent), data_purposes)


def _with(consent: Consent, purpose: str, answer: Answer) -> Consent:
    return msgspec.structs.replace(consent, answers={**consent.answers, purpose: answer})


def _signal(person: Person, data_purposes: frozenset[str], change: Change) -> Sights:
    if change.name not in _COLUMNS:
        raise Unsupposable("no signal of this name; names are those of a profile's `signals`, such as complaints_30d")
    if isinstance(change.value, bool) or not isinstance(change.value, int | float):
        raise Unsupposable("a signal is supposed as a number")
    if not person.consent.allows(_PURPOSES[change.name]):
        closed = _PURPOSES[change.name]
        raise Unsupposable(f"the signal belongs to the purpose {closed}, which was closed: it could change nothing")
    return SupposedSights(person, data_purposes, change.name, float(change.value))


_SIGHTS: dict[str, Callable[[Person, frozenset[str], Change], Sights]] = {
    TRAIT: _trait,
    CONTEXT: _context,
    CONSENT: _consent,
    SIGNAL: _signal,
}
