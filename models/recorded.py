"""A decision's person as its record shows them: what was visible, put back together, with the consent of that moment.
Whatever was closed then is not in it, so nothing here can open it."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from engine.consent import IS_RESTRICTED, Answer, Consent, Purposes, Visible
from engine.profile import Known, Profile, State, Trait
from engine.records import DecisionRecord
from features.compute import CrossCounts
from models.gate import SERVICE, Person
from models.record import visible_by_purpose


def person_of(record: DecisionRecord, policy: Purposes) -> Person:
    """Who was decided about. Revealing them again for an action's purpose gives what was visible for it then."""
    views = {id(visible): visible for visible in visible_by_purpose(record).values()}
    profile = _profile(record, views.values())
    hides = not any(_hid_nothing(visible) for visible in views.values())
    person = Person(profile, consent_of(record), policy, record.context, record.at, record.reserved)
    return msgspec.structs.replace(person, hides=hides, says_restricted=_said_restricted(record))


def _said_restricted(record: DecisionRecord) -> bool:
    """Whether what consent held back has the reason that this version gives where data is restricted; where it is not,
    it makes no difference."""
    return all(rule != "consent" or detail == IS_RESTRICTED for _, rule, detail in record.blocked)


def _hid_nothing(visible: Visible) -> bool:
    """Whether an earlier version showed this: it masked traits, and did not say that they are hidden."""
    return not visible.hidden and any(name.startswith("trait:") for name in visible.masked)


def consent_of(record: DecisionRecord) -> Consent:
    """The consent the decision rested on."""
    allowed = frozenset(record.allowed)
    answers = {
        name: msgspec.convert({**said, "allowed": name in allowed}, Answer)
        for name, said in record.consent.get("purposes", {}).items()
    }
    rule = record.consent.get("jurisdiction_rule", "")
    said = {**record.consent, "answers": answers, "settings": record.settings, "rule": rule}
    return msgspec.convert(said, Consent)


def segment_told(record: DecisionRecord) -> str:
    """The segment of a decision that shows nothing for service although it was open, as those of earlier versions may:
    from these it cannot be told again. Empty where it can."""
    shown = any(SERVICE in visible.purposes for visible in visible_by_purpose(record).values())
    return "" if shown or SERVICE not in record.allowed else record.segment


class RecordedCross(Mapping[tuple[str, str], CrossCounts]):
    """The cross-profile counts a decision used, by action: the segment is worked out again, the counts are an input."""

    def __init__(self, record: DecisionRecord) -> None:
        pairs = zip(record.candidates, record.cross, strict=False)
        self._counts = {candidate.action_id: CrossCounts(*counts) for candidate, counts in pairs}

    def __getitem__(self, key: tuple[str, str]) -> CrossCounts:
        return self._counts[key[0]]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((action_id, "") for action_id in self._counts)

    def __len__(self) -> int:
        return len(self._counts)


def _profile(record: DecisionRecord, views: Iterable[Visible]) -> Profile:
    link_version, _, count = record.profile_version.partition(".")
    members: tuple[str, ...] = (record.profile_id,)
    views = tuple(views)
    # what was hidden is in no record; that it was there is, and comes out hidden again
    hidden = {name: Trait(None, 0, "") for visible in views for name in visible.hidden}
    state = State(count=int(count), traits=hidden)
    for visible in views:
        members = visible.members
        state = msgspec.structs.replace(
            state,
            first=visible.first,
            last=visible.last,
            identifiers={**state.identifiers, **{i: Known(*known, 0) for i, known in visible.identifiers.items()}},
            traits={**state.traits, **visible.traits},
            accounts={**state.accounts, **visible.accounts},
            signals={**state.signals, **visible.signals},
            latest={**state.latest, **visible.latest},
            issues={**state.issues, **visible.issues},
            contacts=visible.contacts,
            timeline=max(state.timeline, visible.timeline, key=len),
            declines=visible.declines,
        )
    return Profile(record.profile_id, members, int(link_version), state)
