"""What an arm changes, with intervals that hold however often one looks, and whether people were dealt as planned.
Works on arrays; knows nothing of decisions or of storage.

Sources: I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, Time-uniform central limit theory and
asymptotic confidence sequences (Annals of Statistics 2024), with the normal mixture of S. R. Howard, A. Ramdas,
J. McAuliffe, J. Sekhon, Time-uniform, nonparametric, nonasymptotic confidence sequences (Annals of Statistics 2021);
M. Lindon, A. Malek, Anytime-valid inference for multinomial count data (NeurIPS 2022)."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import gammaln
from scipy.stats import chi2

from models.scorer import Floats

FEWEST, FEWEST_RESPONSES = 100, 15
SHARPEST_AT = 2000
ALPHA = 0.05
RATIO_ALPHA = 0.001
_CONCENTRATION = 200.0
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Bounds(msgspec.Struct, frozen=True, eq=False):
    """The difference after each person, in their order: arrays of equal shape (..., people). Where too few were seen
    the bounds are infinite."""

    effect: Floats
    low: Floats
    high: Floats


class Ratio(msgspec.Struct, frozen=True):
    """Whether the arms have as many people as they should: Pearson's chi-square (valid for one look), and the evidence
    against it that may be looked at any time: it exceeds 1/a with probability a at most, if all is well."""

    statistic: float
    p_value: float
    evidence: float

    @property
    def suspicious(self) -> bool:
        return self.evidence >= 1.0 / RATIO_ALPHA


def contrasts(values: Floats, treated: Bools, share: float) -> Floats:
    """One number per person whose mean is the difference between the arms, in expectation whatever came before: the
    doubly robust score with the arms' means of the people before. `share` is the probability of being treated."""
    before_treated = _mean_before(values, treated)
    before_other = _mean_before(values, ~treated)
    gap = np.where(treated, (values - before_treated) / share, -(values - before_other) / (1.0 - share))
    return np.asarray(before_treated - before_other + gap)


def _mean_before(values: Floats, counted: Bools) -> Floats:
    total = np.cumsum(np.where(counted, values, 0.0), axis=-1)
    number = np.cumsum(counted, axis=-1)
    mean = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
    shifted: Floats = np.zeros_like(mean)
    shifted[..., 1:] = mean[..., :-1]
    return shifted


def mixture_scale(alpha: float, people: int = SHARPEST_AT) -> float:
    """The mixture's parameter that makes the interval sharpest after so many people."""
    return math.sqrt((-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / people)


def half_widths(deviation: Floats, number: Floats, alpha: float) -> Floats:
    """Half the width of the confidence sequence of a mean, after `number` people with this standard deviation."""
    scale = number * mixture_scale(alpha) ** 2
    return np.asarray(
        deviation * np.sqrt(2.0 * (scale + 1.0) / (number * scale) * np.log(np.sqrt(scale + 1.0) / alpha))
    )


def bounds(values: Floats, treated: Bools, share: float, alpha: float = ALPHA) -> Bounds:
    """The difference between the treated and the others after each person, whose order must not depend on the values.
    All intervals together miss the truth with probability `alpha` at most, as people become many (asymptotic): none is
    given before the smaller arm has 100 people, among whom 15 would respond at the rate of all."""
    scores = contrasts(values, treated, share)
    number = np.broadcast_to(np.arange(1.0, scores.shape[-1] + 1.0), scores.shape)
    effect = np.cumsum(scores, axis=-1) / number
    # an arm in which nobody responded yet is not taken to be one in which nobody ever will
    everybody = _spread(values, np.ones_like(treated))
    one, other = (np.maximum(_spread(values, arm), everybody) for arm in (treated, ~treated))
    deviation = np.sqrt(one / share + other / (1.0 - share))
    smaller = np.minimum(np.cumsum(treated, axis=-1), np.cumsum(~treated, axis=-1))
    responding = smaller * np.cumsum(values != 0.0, axis=-1) / number
    told = (smaller >= FEWEST) & (responding >= FEWEST_RESPONSES)
    half = np.where(told, half_widths(deviation, number, alpha), np.inf)
    return Bounds(effect, effect - half, effect + half)


def _spread(values: Floats, counted: Bools) -> Floats:
    """The variance among those counted so far."""
    number = np.maximum(np.cumsum(counted, axis=-1), 1)
    mean = np.cumsum(np.where(counted, values, 0.0), axis=-1) / number
    square = np.cumsum(np.where(counted, values**2, 0.0), axis=-1) / number
    return np.asarray(np.maximum(square - mean**2, 0.0))


def evidence(counts: Floats, shares: Floats) -> Floats:
    """The e-value against "people fall to the arms by these shares", for counts of shape (..., arms)."""
    prior = _CONCENTRATION * shares
    total = counts.sum(axis=-1)
    mixed = gammaln(_CONCENTRATION) - gammaln(_CONCENTRATION + total)
    mixed = mixed + (gammaln(prior + counts) - gammaln(prior)).sum(axis=-1)
    return np.asarray(np.exp(np.clip(mixed - (counts * np.log(shares)).sum(axis=-1), -700.0, 700.0)))


def ratio(counts: Sequence[int], shares: Sequence[float]) -> Ratio:
    """How likely the arms' sizes are. Arms without a share are left out; nobody yet is no evidence."""
    kept = [(count, share) for count, share in zip(counts, shares, strict=True) if share > 0.0]
    seen = np.asarray([count for count, _ in kept], dtype=np.float64)
    wanted = np.asarray([share for _, share in kept]) / sum(share for _, share in kept)
    if len(kept) < 2 or not seen.sum():
        return Ratio(0.0, 1.0, 1.0)
    expected = wanted * seen.sum()
    statistic = float(((seen - expected) ** 2 / expected).sum())
    return Ratio(statistic, float(chi2.sf(statistic, len(kept) - 1)), float(evidence(seen, wanted)))
