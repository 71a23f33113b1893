"""Parity (law 7): the rows of a logged decision made anew from refolded fragments, and how often each feature comes out
other than it was used. Knows nothing of archives; who folds hands in fragments."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from engine.consent import Visible
from engine.profile import Fragment, merge
from engine.records import DecisionRecord
from features.compute import Context, CrossCounts, Observed, Offer, fill, observe
from features.spec import COLUMNS, SPEC_HASH
from models.gate import Person, Sights, bearing
from models.record import visible_by_purpose
from models.recorded import consent_of
from models.replay import NotReplayable, Past
from models.scorer import Rows
from models.seal import CATALOGUE, PURPOSES

THRESHOLD = 0.001
MOST_EXAMPLES = 3


class Rate(msgspec.Struct, frozen=True):
    """How many visible values of a feature were compared, how many differed, and decisions where they did."""

    compared: int = 0
    mismatched: int = 0
    examples: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        return self.mismatched / self.compared if self.compared else 0.0


class Parity(msgspec.Struct, frozen=True):
    """What a measurement found at `at` (ms): decisions refolded, decisions left out by reason, a rate per feature."""

    at: int
    decisions: int
    left_out: dict[str, int]
    features: dict[str, Rate]

    def above(self, threshold: float = THRESHOLD) -> dict[str, float]:
        """The features whose mismatch rate exceeds the threshold, worst first."""
        found = {name: rate.ratio for name, rate in self.features.items() if rate.ratio > threshold}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def members_of(record: DecisionRecord) -> tuple[str, ...]:
    """The ids that were one person then; empty where the record shows nobody."""
    return next((visible.members for visible in visible_by_purpose(record).values()), ())


def refolded_rows(record: DecisionRecord, fragments: Sequence[Fragment], past: Past) -> Rows:
    """The decision's rows from fragments as they were at its positions: float32 of shape (candidates, columns).

    Raises `NotReplayable` where what it was made under is no longer kept.
    """
    catalogue, policy = _rules(record, past)
    link_version = int(record.profile_version.partition(".")[0])
    profile = merge(fragments, members_of(record) or (record.profile_id,), link_version)
    sights = Sights(Person(profile, consent_of(record), policy, record.context, record.at), bearing(policy))
    actions = [catalogue.actions[candidate.action_id] for candidate in record.candidates]
    cross = [CrossCounts(*counts) for counts in record.cross]
    offer = Offer(actions, cross, Context(record.placement, record.context), record.at)
    own = visible_by_purpose(record)
    return fill([_as_recorded(sights.of(a.purpose).observed, own[a.purpose], record.at) for a in actions], offer)


def _as_recorded(refolded: Observed, own: Visible, at: int) -> Observed:
    """Earlier versions showed hidden traits as absent; what a decision kept of them says which it was."""
    seen = refolded.visible
    return refolded if seen.hidden == own.hidden else observe(msgspec.structs.replace(seen, hidden=own.hidden), at)


def _rules(record: DecisionRecord, past: Past) -> tuple[Any, Any]:
    if CATALOGUE not in record.versions:
        raise NotReplayable("made_before_replay", "made before catalogues were kept")
    if record.spec_hash != SPEC_HASH:
        raise NotReplayable("other_spec", "made under another feature spec")
    return past.catalogue(record.versions[CATALOGUE]), past.purposes(record.versions[PURPOSES])


class Tally:
    """Counts as decisions come in."""

    def __init__(self) -> None:
        self._compared = np.zeros(len(COLUMNS), dtype=np.int64)
        self._mismatched = np.zeros(len(COLUMNS), dtype=np.int64)
        self._examples: dict[str, list[str]] = {}
        self._left_out: dict[str, int] = {}
        self._decisions = 0

    def leave_out(self, reason: str) -> None:
        self._left_out[reason] = self._left_out.get(reason, 0) + 1

    def compare(self, record: DecisionRecord, rows: Rows) -> None:
        """Value by value, to the last bit; what was masked and still is does not count."""
        used = np.frombuffer(record.vectors, dtype="<f4").reshape(len(record.candidates), len(COLUMNS))
        visible = ~(np.isnan(used) & np.isnan(rows))
        different = (used.view("<u4") != rows.astype("<f4").view("<u4")) & visible
        self._decisions += 1
        self._compared += visible.sum(axis=0)
        self._mismatched += different.sum(axis=0)
        for column in np.flatnonzero(different.any(axis=0)).tolist():
            known = self._examples.setdefault(COLUMNS[column], [])
            if len(known) < MOST_EXAMPLES:
                known.append(record.decision_id)

    def found(self, at: int) -> Parity:
        counts = zip(COLUMNS, self._compared.tolist(), self._mismatched.tolist(), strict=True)
        rates = {name: Rate(seen, other, tuple(self._examples.get(name, ()))) for name, seen, other in counts}
        return Parity(at, self._decisions, dict(sorted(self._left_out.items())), rates)


def blocking(parity: Parity | None, columns: Mapping[str, str], threshold: float = THRESHOLD) -> str:
    """Why these columns must not be served on; empty where nothing speaks against it."""
    if parity is None:
        return ""
    worst = {name: rate for name, rate in parity.above(threshold).items() if name in columns}
    if not worst:
        return ""
    named = ", ".join(f"{name} ({rate:.1%})" for name, rate in list(worst.items())[:5])
    return (
        f"Values used online are not those of the archive: {named} differ, at most {threshold:.1%} may. "
        "See `rapport parity`; what changed is the code or the data behind these features."
    )
