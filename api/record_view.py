"""A past decision as one reader may see it today: its answer, and its inputs as far as the reader's purposes and the
person's present consent reach. Knows records; handles no request."""

from array import array
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from api.answers import consent_of, iso
from api.schemas import DecisionInputs, Scored
from engine.catalog import Catalogue
from engine.consent import Consent, Purposes, trait_purpose
from engine.ports import ApiKey, PersonView
from engine.records import DecisionRecord
from features.spec import COLUMNS, FEATURES, SPEC_HASH, TRAIT_OF
from models.answer import named_in
from models.gate import SERVICE
from models.record import visible_by_purpose
from models.replay import NotReplayable, Past
from models.seal import CATALOGUE

_PURPOSES = {feature.name: feature.purpose for feature in FEATURES}
_WIDTH = 4
AUDITOR = "auditor"
REPLAYERS = frozenset({AUDITOR, "engineer", "admin"})


class Reader(msgspec.Struct, frozen=True):
    """What a reader of a record may see: the purposes that are open to them, under today's purposes."""

    open_to: frozenset[str]
    policy: Purposes

    def sees_trait(self, name: str) -> bool:
        return trait_purpose(name, self.policy) in self.open_to

    def sees_column(self, name: str) -> bool:
        """A column that shows a trait may be of another purpose than the trait is: both have to be open."""
        trait = TRAIT_OF.get(name)
        return _PURPOSES.get(name, SERVICE) in self.open_to and (trait is None or self.sees_trait(trait))


def reader_of(view: PersonView, purposes: tuple[str, ...], policy: Purposes, at: int) -> Reader:
    consent = consent_of(view, policy, at)
    return Reader(frozenset(purpose for purpose in purposes if consent.allows(purpose)), policy)


def recorded_decision(record: DecisionRecord, reader: Reader, past: Past) -> dict[str, Any]:
    """The answer of that day with `record` added. What has been withdrawn or has expired since is withheld. May read
    the catalogue of that day from disk."""
    return {**answer_seen(record, record.answer, reader, past), "record": _inputs(record, reader)}


def withdrew_since(record: DecisionRecord, consent: Consent) -> bool:
    """Whether the person closed a purpose since that the decision used."""
    used = record.answer.get("consent", {}).get("purposes_used", ())
    return not all(consent.allows(purpose) for purpose in used)


def why_not_replayed(record: DecisionRecord, view: PersonView, key: ApiKey, policy: Purposes, at: int) -> str:
    """Why this key may not have the decision made again at `at` (ms); empty where it may. A decision about somebody who
    closed a purpose it used since is for an auditor."""
    if key.role not in REPLAYERS:
        return f"a key with the role {key.role} may not replay decisions"
    if key.role == AUDITOR or not withdrew_since(record, consent_of(view, policy, at)):
        return ""
    return "the person withdrew since; only an auditor may replay the decision"


def answer_seen(record: DecisionRecord, answer: dict[str, Any], reader: Reader, past: Past) -> dict[str, Any]:
    """An answer made from this record's inputs, as far as the reader may see it: without the texts that a closed value
    was filled into."""
    closed = frozenset(name for name in _known(record) if not reader.sees_trait(name))
    catalogue = _catalogue(record, past) if closed else None
    actions = [
        {
            **action,
            "content": None if closed & _filled(action, answer, catalogue, closed) else action["content"],
            "reasons": list(_reasons(action["reasons"], reader)),
        }
        for action in answer.get("actions", [])
    ]
    return {**told(answer, reader.open_to), "actions": actions}


def told(answer: dict[str, Any], open_to: Container[str]) -> dict[str, Any]:
    """An answer without the time zones whose hours were asked, which a phone number may have told, where the reader
    sees nothing for service."""
    if SERVICE in open_to or "policy" not in answer:
        return answer
    return {**answer, "policy": {name: value for name, value in answer["policy"].items() if name != "time_zone"}}


def reasons_seen(reasons: Sequence[dict[str, Any]], reader: Reader) -> list[str]:
    """The sentences of those reasons that rest on what the reader may see."""
    return [str(reason["text"]) for reason in _reasons(list(reasons), reader)]


def _catalogue(record: DecisionRecord, past: Past) -> Catalogue | None:
    try:
        return past.catalogue(record.versions[CATALOGUE])
    except (KeyError, NotReplayable):
        return None


def _filled(
    action: dict[str, Any], answer: dict[str, Any], catalogue: Catalogue | None, closed: frozenset[str]
) -> frozenset[str]:
    """The traits the action's text has a place for. Where the text of that day is no longer kept, any may be in it."""
    found = catalogue.actions.get(action["action_id"]) if catalogue is not None else None
    languages = answer.get("policy", {}).get("languages")
    return closed if found is None or languages is None else named_in(found, languages)


def _reasons(reasons: list[dict[str, Any]], reader: Reader) -> Iterator[dict[str, Any]]:
    for reason in reasons:
        feature = reason.get("feature")
        if feature is None or reader.sees_column(feature):
            yield reason


def _known(record: DecisionRecord) -> dict[str, Any]:
    return {n: t.value for visible in visible_by_purpose(record).values() for n, t in visible.traits.items()}


def _used(record: DecisionRecord) -> Mapping[str, float]:
    """The vector of the first action of the slate by column; empty where the columns have changed since."""
    if record.spec_hash != SPEC_HASH or not record.slate:
        return {}
    start = record.slate[0][0] * len(COLUMNS) * _WIDTH
    values = array("f")
    values.frombytes(record.vectors[start : start + len(COLUMNS) * _WIDTH])
    # NaN is what was masked on that day; `features_masked` names it
    return {name: value for name, value in zip(COLUMNS, values, strict=True) if value == value}


def _inputs(record: DecisionRecord, reader: Reader) -> DecisionInputs:
    traits, columns = _known(record), _used(record)
    known = {n: v for n, v in sorted(traits.items()) if reader.sees_trait(n)}
    used = {n: v for n, v in columns.items() if reader.sees_column(n)}
    closed = [f"trait:{n}" for n in traits if n not in known]
    closed += [f"feature:{n}" for n in columns if n not in used]
    # the segment is told from what is visible for service
    served = SERVICE in reader.open_to
    return DecisionInputs(
        at=iso(record.at),
        placement=record.placement,
        context=record.context,
        segment=record.segment if served else "",
        seed=str(record.seed),
        spec_hash=record.spec_hash,
        known=known,
        used=used,
        withheld=sorted(closed if served else [*closed, "segment"]),
        candidates=[Scored(*msgspec.structs.astuple(c)[: len(Scored.__struct_fields__)]) for c in record.candidates],
        versions=dict(record.versions),
    )
