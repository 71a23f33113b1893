"""Cross-profile features: from the counters of all partitions to one row per action and segment. Pure; knows nothing of
where counters or rows are kept."""

from collections.abc import Iterable, Mapping

import numpy as np

from engine.catalog import Action
from features.compute import CrossCounts, Row, cross_values

_COUNTED = {"presented": 0, "accepted": 1}


def summed(counters: Iterable[Mapping[str, int]]) -> dict[tuple[str, str], CrossCounts]:
    """Counters `action|segment|outcome` -> count, one mapping per partition, as counts per (action id, segment)."""
    sums: dict[tuple[str, str], list[float]] = {}
    for counter in counters:
        for name, count in counter.items():
            action, segment, outcome = _parts(name)
            held = sums.setdefault((action, segment), [0.0, 0.0])
            if outcome in _COUNTED:
                held[_COUNTED[outcome]] += count
    return {key: CrossCounts(*held) for key, held in sums.items()}


def _parts(name: str) -> tuple[str, str, str]:
    action, _, rest = name.partition("|")
    segment, _, outcome = rest.rpartition("|")
    return action, segment, outcome


def cross_row(action: Action | None, counts: CrossCounts) -> Row:
    """The stored row: impressions, smoothed acceptance, acceptances; float32 of shape (3,).

    The acceptance of an action that left the catalogue is NaN: nothing says what to smooth it towards.
    """
    values = np.asarray([counts.impressions, np.nan], np.float32) if action is None else cross_values(action, counts)
    return np.append(values, np.float32(counts.accepted))
