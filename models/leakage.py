"""Finds features that know the answer: marked as known only after the decision, or telling yes from no alone better
than anything known before could. Knows nothing of models."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from features.spec import CATEGORICAL, FEATURES, Feature
from models.scorer import Floats, Rows

Whole = npt.NDArray[np.int64]
IMPLAUSIBLE = 0.95
FEWEST_EACH = 20
BINS = 20
AFTER = "known after the decision"


def leaking(rows: Rows, rewards: Floats, features: tuple[Feature, ...] = FEATURES) -> dict[str, str]:
    """Column to why it leaks. `rows` of shape (decisions, len(features)) in order of time; the first half says which
    values go with a yes, the second half says how well that tells."""
    found = {feature.name: AFTER for feature in features if feature.after}
    half = len(rows) // 2
    labels = (rewards > 0.5).astype(np.int64)
    counts = [np.bincount(part, minlength=2).min() for part in (labels[:half], labels[half:])]
    if min(counts) < FEWEST_EACH:
        return found
    for place, feature in enumerate(features):
        auc = _alone(rows[:, place], labels, half, feature)
        if auc > IMPLAUSIBLE:
            found.setdefault(feature.name, f"alone it tells yes from no with an AUC of {auc:.3f}")
    return found


def _alone(values: Rows, labels: Whole, half: int, feature: Feature) -> float:
    """How well one column tells the second half, by the rate of yes among like values in the first."""
    bins = _bins(values, half, feature)
    size = int(bins.max()) + 1
    seen = np.bincount(bins[:half], minlength=size)
    yes = np.bincount(bins[:half], weights=labels[:half], minlength=size)
    rate = (yes + labels[:half].mean()) / (seen + 1.0)
    return float(roc_auc_score(labels[half:], rate[bins[half:]]))


def _bins(values: Rows, half: int, feature: Feature) -> Whole:
    """The bin of each value: itself for a category, its twentieth for a number; what is missing has its own."""
    missing = np.isnan(values)
    known = np.where(missing, 0.0, values)
    if feature.kind == CATEGORICAL:
        placed = np.unique(known, return_inverse=True)[1]
    else:
        seen = known[:half][~missing[:half]]
        edges = np.unique(np.quantile(seen, np.linspace(0, 1, BINS + 1)[1:-1])) if len(seen) else np.zeros(0)
        placed = np.searchsorted(edges, known, side="right")
    return np.where(missing, 0, placed + 1).astype(np.int64)
