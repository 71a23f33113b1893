"""Off-policy evaluation: what a policy would have earned on decisions another policy made and logged. Knows nothing of
models; a policy comes in as the probability it would have given each logged action."""

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import msgspec
import numpy as np
import numpy.typing as npt

from models.scorer import Floats

RESAMPLES = 1000
LEVEL = 0.90
FEWEST_FREE = 8.0
_CHUNK = 100
_NORMAL = NormalDist()


class Logs(msgspec.Struct, frozen=True, eq=False):
    """Logged decisions as parallel arrays of shape (decisions,): what each earned, the probability the logging policy
    gave the logged action, and who it was made for (any labels; one label is one cluster)."""

    gain: Floats
    propensity: Floats
    cluster: Sequence[str]

    def __len__(self) -> int:
        return len(self.gain)


class Interval(msgspec.Struct, frozen=True):
    """A value with the bounds of a two-sided bootstrap interval of `level`."""

    value: float
    low: float
    high: float
    level: float


class Estimate(msgspec.Struct, frozen=True):
    """What a policy would have earned per decision. `ess` is the effective number of decisions behind it."""

    ips: float
    snips: float
    ess: float
    decisions: int
    interval: Interval


class Rivals(msgspec.Struct, frozen=True, eq=False):
    """Two policies over the same logs, arrays of shape (decisions,): the probability each gives the logged action, the
    part of it the other does not give (`…_alone`), and `apart`, how much probability they place differently at all."""

    challenger: Floats
    champion: Floats
    challenger_alone: Floats
    champion_alone: Floats
    apart: Floats


class Slice(msgspec.Struct, frozen=True):
    """The difference among some of the people: `by` says how they were told apart, `name` which of them."""

    by: str
    name: str
    decisions: int
    ess: float
    difference: Interval


class Comparison(msgspec.Struct, frozen=True):
    """Two policies on the same decisions; `difference` is challenger minus champion on the same resamples. `apart` is
    the share of choices in which they differ, `ess` how many effective decisions speak about the difference, and
    `people` how many clusters the intervals rest on: few of them cannot show how much people vary.

    `doubly_robust` is the difference by the other estimator. `unsupported` is the challenger's mass on what the logging
    policy never shows, `unexplored` names placements that never explored, `clip_bias` is what clipping takes off the
    challenger's IPS, `first` and `last` (ms) tell which log it was, `tries` how often that log was asked so far.
    """

    challenger: Estimate
    champion: Estimate
    difference: Interval
    apart: float
    ess: float
    people: int
    doubly_robust: Interval | None = None
    unsupported: float = 0.0
    unexplored: tuple[str, ...] = ()
    clip_bias: float = 0.0
    slices: tuple[Slice, ...] = ()
    first: int = 0
    last: int = 0
    tries: int = 1


class Method(msgspec.Struct, frozen=True):
    """How values and intervals are made: clusters drawn with replacement, `resamples` times (the same seed draws the
    same), two-sided intervals of `level`, and no importance weight above `clip`."""

    seed: int = 0
    resamples: int = RESAMPLES
    level: float = LEVEL
    clip: float | None = None


USUAL = Method()


def importance(target: Floats, propensity: Floats, clip: float | None = None) -> Floats:
    """How much more likely the target policy was to do what was done; `clip` bounds a weight from above."""
    if np.any(propensity <= 0.0):
        raise ValueError("a logged action has propensity 0; nothing can be learnt from it")
    weights = target / propensity
    return weights if clip is None else np.minimum(weights, clip)


def ips(gain: Floats, weights: Floats) -> float:
    """Inverse propensity score: unbiased, with the variance of its largest weight."""
    return float(np.mean(weights * gain)) if len(gain) else 0.0


def snips(gain: Floats, weights: Floats) -> float:
    """Self-normalised IPS (Swaminathan and Joachims, 2015): a little bias for much less variance; 0 without support."""
    total = float(np.sum(weights))
    return float(np.sum(weights * gain)) / total if total > 0.0 else 0.0


def effective_size(weights: Floats) -> float:
    """Kish's effective sample size."""
    squares = float(np.sum(weights**2))
    return float(np.sum(weights)) ** 2 / squares if squares > 0.0 else 0.0


def doubly_robust(gain: Floats, weights: Floats, expected: Floats, expected_target: Floats) -> float:
    """Doubly robust: a model's expectation of the target policy, corrected where the log knows better.

    `expected` is the model's gain of the logged action, `expected_target` its mean over the target policy's choices.
    """
    return float(np.mean(expected_target + weights * (gain - expected))) if len(gain) else 0.0


def estimate(logs: Logs, target: Floats, how: Method = USUAL) -> Estimate:
    """The value of one policy; `target` is the probability it gives each logged action."""
    weights = importance(target, logs.propensity, how.clip)
    sums = _cluster_sums(logs, [weights * logs.gain, weights])
    drawn, without = (_ratio(part[:, 0], part[:, 1]) for part in (_redrawn(sums, how), _each_left_out(sums)))
    return _estimate(logs, weights, (drawn, without), how.level)


def compare(logs: Logs, rivals: Rivals, how: Method = USUAL) -> Comparison:
    """Both policies and their difference, each interval from the same resamples of clusters.

    What both would have done alike cancels, so the difference is the share of choices they place apart times the
    difference in value of exactly these choices: the noise of the rest stays out of it.
    """
    targets = (rivals.challenger, rivals.champion, rivals.challenger_alone, rivals.champion_alone)
    weights = [importance(target, logs.propensity, how.clip) for target in targets]
    columns = [column for w in weights for column in (w * logs.gain, w)]
    sums = _cluster_sums(logs, [*columns, rivals.apart, np.ones(len(logs))])
    whole, drawn, without = (
        _gaps(part) for part in (sums.sum(axis=0)[None], _redrawn(sums, how), _each_left_out(sums))
    )
    return Comparison(
        _estimate(logs, weights[0], (drawn[0], without[0]), how.level),
        _estimate(logs, weights[1], (drawn[1], without[1]), how.level),
        _interval(float(whole[2][0]), (drawn[2], without[2]), how.level),
        float(rivals.apart.mean()) if len(logs) else 0.0,
        min(effective_size(weights[2]), effective_size(weights[3])),
        len(sums),
    )


def mean_interval(logs: Logs, values: Floats, how: Method = USUAL) -> Interval:
    """The mean of one value per decision with its bootstrap interval, clustered like everything else."""
    sums = _cluster_sums(logs, [values, np.ones(len(logs))])
    drawn, without = (_ratio(part[:, 0], part[:, 1]) for part in (_redrawn(sums, how), _each_left_out(sums)))
    mean = float(values.mean()) if len(logs) else 0.0
    return _interval(mean, (drawn, without), how.level)


def _gaps(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """SNIPS of both and their difference, from sums of shape (draws, 10) in the order `compare` lists them."""
    new, old, new_alone, old_alone = (_ratio(sums[:, at], sums[:, at + 1]) for at in (0, 2, 4, 6))
    return new, old, (new_alone - old_alone) * _ratio(sums[:, 8], sums[:, 9])


def _estimate(logs: Logs, weights: Floats, draws: tuple[Floats, Floats], level: float) -> Estimate:
    value = snips(logs.gain, weights)
    return Estimate(ips(logs.gain, weights), value, effective_size(weights), len(logs), _interval(value, draws, level))


def _interval(value: float, draws: tuple[Floats, Floats], level: float) -> Interval:
    """Of a value on each resample, and on the log without each cluster."""
    drawn, without = draws
    tail = (1.0 - widened(level, without)) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail]) if len(drawn) else (value, value)
    return Interval(value, float(low), float(high), level)


def widened(level: float, without: Floats) -> float:
    """The level at which percentiles of resamples hold as often as `level` says (expanded as in Hesterberg, 2015).
    Plain ones are as narrow as if the variance were known, but it is estimated from so many clusters, of which a few
    may make most of it: how few follows from the kurtosis of what leaving one cluster out does to the value."""
    count = len(without)
    moved = without - without.mean() if count else without
    second = float(np.mean(moved**2)) if count else 0.0
    if count < 2 or second <= 0.0:
        return level
    kurtosis = float(np.mean(moved**4)) / second**2
    freedom = min(max(2.0 * count / max(kurtosis - 1.0, 1.0), FEWEST_FREE), count - 1.0)
    return 2.0 * _NORMAL.cdf(_student(level, max(freedom, 1.0)) * math.sqrt(count / (count - 1.0))) - 1.0


def _student(level: float, freedom: float) -> float:
    """The two-sided bound of Student's t, by its expansion around the normal's (Abramowitz and Stegun, 26.7.5)."""
    z = _NORMAL.inv_cdf(0.5 + level / 2.0)
    return z + (z**3 + z) / (4.0 * freedom) + (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / (96.0 * freedom**2)


def _each_left_out(sums: Floats) -> Floats:
    """The sums without each cluster: the same shape."""
    left: Floats = sums.sum(axis=0) - sums
    return left


def _cluster_sums(logs: Logs, columns: Sequence[Floats]) -> Floats:
    """Each column summed within each cluster: shape (clusters, columns)."""
    if not len(logs):
        return np.zeros((0, len(columns)))
    _, cluster = np.unique(np.asarray(logs.cluster), return_inverse=True)
    return np.stack([np.bincount(cluster, weights=column) for column in columns], axis=1)


def _redrawn(sums: Floats, how: Method) -> Floats:
    """The columns' sums on each resample of clusters: shape (resamples, columns)."""
    if not len(sums):
        return np.zeros((0, sums.shape[1]))
    return np.concatenate([counts @ sums for counts in _cluster_draws(len(sums), how)])


def _cluster_draws(clusters: int, how: Method) -> Iterator[Floats]:
    """How often each cluster is drawn: chunks of shape (at most 100, clusters)."""
    generator = np.random.default_rng(how.seed)
    for start in range(0, how.resamples, _CHUNK):
        size = min(_CHUNK, how.resamples - start)
        picked = generator.integers(0, clusters, size=(size, clusters))
        offset = picked + np.arange(size)[:, None] * clusters
        counts: npt.NDArray[np.int64] = np.bincount(offset.ravel(), minlength=size * clusters)
        yield counts.reshape(size, clusters).astype(np.float64)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0.0)
