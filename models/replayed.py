"""Vectors of logged decisions made anew under the feature spec of today, from what each decision could see. Refuses to
go on where a column that should not have changed comes out different."""

from collections.abc import Mapping

import numpy as np

from engine.catalog import Catalogue
from engine.records import DecisionRecord
from features.compute import Context, CrossCounts, vectors
from features.spec import INDEX, SPEC_HASH
from models.dataset import Stale, Vectors
from models.record import visible_by_purpose
from models.scorer import SPEC_OF, ModelError, Rows

Spec = Mapping[str, str]


class Disparity(ModelError):
    """A replayed value differs from the logged one although its column's spec is the same (law 7)."""


def replayed_vectors(catalogue: Catalogue, specs: Mapping[str, Spec]) -> Vectors:
    """A source of vectors for `examples`. `specs` maps a spec hash to its columns in order, each with its own hash.

    The source raises `Stale` for a decision of another catalogue version or of an unknown spec, `Disparity` where an
    unchanged column comes out different.
    """
    known = {SPEC_HASH: SPEC_OF, **specs}

    def replay(record: DecisionRecord) -> Rows:
        if record.catalogue != catalogue.version:
            raise Stale(f"decided under catalogue {record.catalogue}")
        if record.spec_hash not in known:
            raise Stale(f"logged under the unknown feature spec {record.spec_hash}")
        rows = recomputed(record, catalogue)
        _compare(record, rows, known[record.spec_hash])
        return rows

    return replay


def recomputed(record: DecisionRecord, catalogue: Catalogue) -> Rows:
    """The decision's rows under today's spec: float32 of shape (candidates, len(COLUMNS))."""
    actions = [catalogue.actions[candidate.action_id] for candidate in record.candidates]
    cross = [CrossCounts(*counts) for counts in record.cross]
    return vectors(visible_by_purpose(record), actions, Context(record.placement, record.context), cross, record.at)


def _compare(record: DecisionRecord, rows: Rows, spec: Spec) -> None:
    logged = np.frombuffer(record.vectors, dtype="<f4").reshape(len(record.candidates), len(spec))
    for position, (name, spec_hash) in enumerate(spec.items()):
        if SPEC_OF.get(name) != spec_hash:
            continue
        again, before = rows[:, INDEX[name]], logged[:, position]
        if not np.array_equal(again, before, equal_nan=True):
            raise Disparity(
                f"column {name} of decision {record.decision_id} comes out different although its spec is the same; "
                "a rule behind it has changed without the spec saying so"
            )
