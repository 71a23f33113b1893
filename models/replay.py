"""Replay: a past decision made again from what its record holds, with the model, the catalogue and the purposes of that
moment, and compared byte for byte. Uses the code that serves; what is stored of the outcome is only compared."""

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
import numpy as np

from engine.catalog import Catalogue
from engine.consent import Purposes
from engine.errors import InvalidRequest
from engine.records import DecisionRecord
from features.spec import COLUMNS, SPEC_HASH
from models.gate import Sights, bearing
from models.record import VERSIONS
from models.recorded import RecordedCross, person_of, segment_told
from models.scorer import ModelError, Scorer
from models.seal import CATALOGUE, PURPOSES, altered
from models.serving import Question, Setting, redecide

RESULTS: tuple[str, ...] = (
    *("candidates", "vectors", "segment", "seed", "slate", "blocked", "policy", "consent_hash", "answer"),
)
MOST_NAMED = 5
_ENCODE = msgspec.msgpack.Encoder(order="sorted").encode
_DAMAGED = (KeyError, ValueError, TypeError, msgspec.MsgspecError, InvalidRequest)


class NotReplayable(ModelError):
    """The decision cannot be made again here; `code` says why in a word, the message what to try."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Past(Protocol):
    """What decisions were made with. Each raises `NotReplayable` for what is no longer kept."""

    def catalogue(self, digest: str) -> Catalogue: ...

    def purposes(self, digest: str) -> Purposes: ...

    def model(self, version: str) -> Scorer: ...


class Difference(msgspec.Struct, frozen=True):
    """What is not as it was. `inputs` were altered after the decision, `results` come out different; `details` are
    sentences that name actions and columns, never a person's values."""

    inputs: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


class Replayed(msgspec.Struct, frozen=True, eq=False):
    """A decision made again. `again` is None where an input was altered so that nothing can be made of it."""

    identical: bool
    again: DecisionRecord | None
    difference: Difference | None = None


def setting_of(record: DecisionRecord, past: Past) -> Setting:
    """What the decision was made with. Raises `NotReplayable` where a part of it is gone."""
    if CATALOGUE not in record.versions or not record.sums:
        text = "the decision was made before catalogues were kept; later ones can be replayed"
        raise NotReplayable("made_before_replay", text)
    catalogue = past.catalogue(record.versions[CATALOGUE])
    return Setting(catalogue, past.purposes(record.versions[PURPOSES]), past.model(record.model), RecordedCross(record))


def question_of(record: DecisionRecord) -> Question:
    asked = (record.decision_id, record.placement, record.limit, record.positions, record.arms)
    return Question(*asked, segment_told(record))


def replay(record: DecisionRecord, past: Past) -> Replayed:
    """Make the decision again and compare. Raises `NotReplayable` where that would say nothing: a model or catalogue
    that is gone, or other versions of the libraries and a different outcome."""
    changed = altered(record) if record.sums else ()
    try:
        again = _again(record, past)
    except (NotReplayable, *_DAMAGED) as error:
        if not changed:
            raise error if isinstance(error, NotReplayable) else _unreadable() from error
        return Replayed(False, None, Difference(inputs=changed, details=(_altered(changed),)))
    results = tuple(name for name in RESULTS if _ENCODE(getattr(record, name)) != _ENCODE(getattr(again, name)))
    if not changed and not results:
        return Replayed(True, again)
    if not changed:
        _check_versions(record)
    told = (*((_altered(changed),) if changed else ()), *_details(record, again, results))
    return Replayed(False, again, Difference(changed, results, told))


def _again(record: DecisionRecord, past: Past) -> DecisionRecord:
    setting = setting_of(record, past)
    sights = Sights(person_of(record, setting.purposes), bearing(setting.purposes))
    return redecide(question_of(record), sights, setting)


def _unreadable() -> NotReplayable:
    return NotReplayable("unreadable_record", "the record cannot be read as this version writes it")


def _altered(inputs: tuple[str, ...]) -> str:
    return f"Altered after the decision was made: {', '.join(inputs)}."


def _check_versions(record: DecisionRecord) -> None:
    """A result that differs under other code says nothing about the record."""
    here = {**VERSIONS, "spec": SPEC_HASH}
    other = [f"{name} {record.versions.get(name)}" for name in here if record.versions.get(name) != here[name]]
    if other:
        text = f"decided with {', '.join(other)}; replay it with these, another version proves nothing"
        raise NotReplayable("other_version", text)


def _details(record: DecisionRecord, again: DecisionRecord, results: tuple[str, ...]) -> Iterator[str]:
    if "vectors" in results:
        yield from _columns(record, again)
    if "slate" in results or "answer" in results:
        before, now = winner_of(record.answer), winner_of(again.answer)
        if before != now:
            yield f"First was {before or 'nothing'}; made again it is {now or 'nothing'}."
    for name in results:
        if name not in ("vectors", "slate"):
            yield f"What is stored as {name} is not what comes out."


def _columns(record: DecisionRecord, again: DecisionRecord) -> Iterator[str]:
    names = [candidate.action_id for candidate in again.candidates]
    width = len(names) * len(COLUMNS)
    if [c.action_id for c in record.candidates] != names or len(record.vectors) != 4 * width:
        yield "The stored vectors are not those of the candidates."
        return
    old, new = (np.frombuffer(one.vectors, dtype="<u4").reshape(-1, len(COLUMNS)) for one in (record, again))
    places = np.argwhere(old != new)
    for row, column in places[:MOST_NAMED].tolist():
        yield f"Column {COLUMNS[column]} of {names[row]} comes out different."
    if len(places) > MOST_NAMED:
        yield f"So do {len(places) - MOST_NAMED} more."


def winner_of(answer: dict[str, Any]) -> str:
    """The action at the first position; empty where there is none."""
    shown = answer.get("actions") or []
    return str(shown[0]["action_id"]) if shown else ""
