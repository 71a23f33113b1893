"""Who may be a candidate in one decision and what may be seen for it: consent, eligibility and contact policy over one
person. Knows nothing of scores; whatever it reads of a person it reads through `reveal`."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from engine.catalog import Action, Catalogue, Placement
from engine.consent import Consent, Purposes, Visible, reveal
from engine.decision import Blocked, Moments, ineligible, permitted, rested
from engine.parts import LATEST_PURPOSE, PAIR_PURPOSE, SIGNAL_PURPOSES
from engine.profile import Contact, Profile
from engine.rules import Facts, Rule
from engine.wishes import as_wished
from features.compute import Observed, observe

SERVICE = "service"
UNKNOWN_SEGMENT = "unknown"


class Sight(msgspec.Struct, frozen=True, eq=False):
    """What may be seen for one set of purposes, and the same as facts for rules. `answers` is the visible part that
    contact policies look at: its timeline holds outcomes only."""

    observed: Observed
    facts: Facts
    answers: Visible


class Person(msgspec.Struct, frozen=True, eq=False):
    """One person at one moment (`at` in ms), with consent and the request's context. `reserved` are the approaches that
    were promised and may still be made: they count as if they had been. `hides` and `says_restricted` are false of
    people out of records of earlier versions, which showed a hidden trait as absent, and gave the status of a purpose
    where restricted data was the reason."""

    profile: Profile
    consent: Consent
    policy: Purposes
    context: Mapping[str, Any]
    at: int
    reserved: tuple[Contact, ...] = ()
    hides: bool = True
    says_restricted: bool = True


def bearing(policy: Purposes) -> frozenset[str]:
    """The purposes that open any part of a profile; others decide about actions, not about data."""
    return frozenset((*policy.traits.values(), policy.other_traits, *SIGNAL_PURPOSES.values())) | {
        LATEST_PURPOSE,
        PAIR_PURPOSE,
        SERVICE,
    }


class Sights:
    """The views of one person during one decision: one reveal per distinct set of open purposes."""

    def __init__(self, person: Person, data_purposes: frozenset[str]) -> None:
        self.person = person
        self._open = frozenset(p for p in data_purposes if person.consent.allows(p))
        self._by_set: dict[frozenset[str], Sight] = {}
        self.by_purpose: dict[str, Sight] = {}
        self.beside: dict[str, Sight] = {}

    def of(self, purpose: str) -> Sight:
        """What may be seen for an action of this purpose: the purpose and the ones it uses, as far as allowed."""
        if purpose not in self.by_purpose:
            named = self.person.policy.purposes.get(purpose)
            self.by_purpose[purpose] = self.through({purpose, *(named.uses if named else ())})
        return self.by_purpose[purpose]

    def through(self, purposes: Iterable[str]) -> Sight:
        opened = self._open.intersection(purposes)
        if opened not in self._by_set:
            self._by_set[opened] = self._look(opened)
        return self._by_set[opened]

    def serve(self) -> None:
        """Keep what service shows as a view of its own, `beside` those of the actions, where none of them shows it: the
        segment is told from it."""
        if SERVICE in self._open and not any(SERVICE in opened for opened in self._by_set):
            self.beside[SERVICE] = self.through((SERVICE,))

    def service(self, rule: Rule) -> Facts:
        """What may be seen for service alone, as far as the rule names it. The timeline is left out: no rule looks at
        it, and it is costly to filter."""
        person = self.person
        state = msgspec.structs.replace(person.profile.state, timeline=())
        bare = msgspec.structs.replace(person.profile, state=state)
        visible = reveal(bare, person.consent, {SERVICE}, person.policy)
        if not rule.names("signals"):
            return Facts(_traits(visible), {}, person.context)
        return _facts(observe(visible, person.at), person.context)

    def _look(self, purposes: frozenset[str]) -> Sight:
        person = self.person
        visible = reveal(person.profile, person.consent, purposes, person.policy)
        visible = visible if person.hides else msgspec.structs.replace(visible, hidden=())
        observed = observe(visible, person.at)
        outcomes = tuple(moment for moment in visible.timeline if moment.kind == "outcome")
        contacts = (*visible.contacts, *person.reserved)
        answers = msgspec.structs.replace(visible, timeline=outcomes, contacts=contacts)
        return Sight(observed, _facts(observed, person.context), answers)


def _facts(observed: Observed, context: Mapping[str, Any]) -> Facts:
    return Facts(_traits(observed.visible), observed.signals, context)


def _traits(visible: Visible) -> dict[str, Any]:
    return {name: trait.value for name, trait in visible.traits.items()}


class Screened(msgspec.Struct, frozen=True, eq=False):
    """The candidates in catalogue order with their sights, and the actions held back."""

    actions: tuple[Action, ...]
    sights: tuple[Sight, ...]
    blocked: tuple[Blocked, ...]


def screen(sights: Sights, catalogue: Catalogue, placement: Placement, hours: frozenset[int]) -> Screened:
    """Eligible, then permitted, then rested: the first rule that holds an action back is the one reported. `hours` are
    those of the person's zones."""
    now, consent = Moments(sights.person.at, hours), _said(sights.person)
    passed: list[tuple[Action, Sight]] = []
    blocked: list[Blocked] = []
    out = ineligible(catalogue, placement.id, lambda purpose: sights.of(purpose).facts, now.at)
    for action, held_out in zip(catalogue.placed(placement.id), out, strict=True):
        sight = sights.of(action.purpose)
        held = (
            held_out
            or permitted(action, placement, consent)
            or rested(action, placement, sight.answers, catalogue.policy, now)
            or as_wished(action, placement, consent, sight.answers.contacts, now)
        )
        if held is None:
            passed.append((action, sight))
        else:
            blocked.append(held)
    return Screened(tuple(a for a, _ in passed), tuple(s for _, s in passed), tuple(blocked))


def _said(person: Person) -> Consent:
    return person.consent if person.says_restricted else msgspec.structs.replace(person.consent, restricted=False)


def segment_of(sights: Sights, catalogue: Catalogue) -> str:
    """The person's segment for cross-profile counts, from what is visible for service alone."""
    return catalogue.segment.text(sights.service(catalogue.segment)) or UNKNOWN_SEGMENT
