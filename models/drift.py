"""Whether numbers are spread as they were: the population stability index (PSI) of a column against a reference, over
bins that the reference fixes. Knows nothing of decisions, of time or of what a column means."""

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from models.scorer import Floats

Counts = npt.NDArray[np.int64]
BINS = 10
FEWEST = 100
MOVING, SHIFTED = 0.1, 0.2
STEADY, MOVES, SHIFTS, TOO_FEW = "steady", "moving", "shifted", "too few"
# so rarely chance alone may call one column shifted
BY_CHANCE = 0.001
_PSEUDO = 0.5


class Bins:
    """Ten bins that are equally full in the reference, one for each value where it has no more than ten, one for what
    is masked. A value the reference never had falls between or outside its own."""

    def __init__(self, reference: Floats) -> None:
        present = reference[~np.isnan(reference)]
        values = np.unique(present)
        if len(values) <= BINS:
            self._edges = np.sort(np.concatenate([values, np.nextafter(values, np.inf)]))
        else:
            self._edges = np.unique(np.quantile(present, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
        self.reference = self.counts(reference)

    def counts(self, values: Floats) -> Counts:
        """How many fall into each bin; the last one counts NaN."""
        masked = np.isnan(values)
        places = np.searchsorted(self._edges, values[~masked], side="right")
        return np.append(np.bincount(places, minlength=len(self._edges) + 1), masked.sum()).astype(np.int64)

    def psi(self, values: Floats) -> tuple[float, float]:
        """The index of these values against the reference, and what chance alone exceeds once in a thousand."""
        now = self.counts(values)
        held = (self.reference + now) > 0
        before, after = _shares(self.reference[held]), _shares(now[held])
        index = float(np.sum((after - before) * np.log(after / before)))
        return index, by_chance(int(held.sum()), int(self.reference.sum()), int(now.sum()))


def _shares(counts: Counts) -> Floats:
    """A bin that one side lacks makes the index large, not infinite."""
    padded = counts + _PSEUDO
    return np.asarray(padded / padded.sum(), dtype=np.float64)


def by_chance(bins: int, reference: int, now: int) -> float:
    """Two samples of one distribution have an index of about chi-squared(bins - 1) times (1/n + 1/m); its upper
    quantile by Wilson and Hilferty's approximation."""
    free = bins - 1
    if free < 1 or not reference or not now:
        return 0.0
    normal = NormalDist().inv_cdf(1.0 - BY_CHANCE)
    quantile = free * (1.0 - 2.0 / (9.0 * free) + normal * (2.0 / (9.0 * free)) ** 0.5) ** 3
    return float(quantile * (1.0 / reference + 1.0 / now))


def verdict_of(index: float | None, chance: float) -> str:
    """In a word. An index that chance could give says nothing, however high it is."""
    if index is None:
        return TOO_FEW
    if index < MOVING or index <= chance:
        return STEADY
    return SHIFTS if index >= SHIFTED else MOVES
