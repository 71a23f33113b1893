"""Off-policy evaluation: what a policy would have earned on decisions another policy made and logged. Knows nothing of
models; a policy comes in as the probability it would have given each logged action."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from models.scorer import Floats

RESAMPLES = 1000
LEVEL = 0.90
_CHUNK = 100


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


class Comparison(msgspec.Struct, frozen=True):
    """Two policies on the same decisions; `difference` is challenger minus champion on the same resamples."""

    challenger: Estimate
    champion: Estimate
    difference: Interval


class Resampling(msgspec.Struct, frozen=True):
    """How intervals are made: clusters drawn with replacement, `resamples` times; the same seed draws the same."""

    seed: int = 0
    resamples: int = RESAMPLES
    level: float = LEVEL


USUAL = Resampling()


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


def estimate(logs: Logs, target: Floats, how: Resampling = USUAL, clip: float | None = None) -> Estimate:
    """The value of one policy; `target` is the probability it gives each logged action."""
    weights = importance(target, logs.propensity, clip)
    draws = _resampled(logs, (weights,), how)
    return _estimate(logs, weights, draws[0], how)


def compare(logs: Logs, challenger: Floats, champion: Floats, how: Resampling = USUAL) -> Comparison:
    """Both policies and their difference, each interval from the same resamples of clusters."""
    new, old = importance(challenger, logs.propensity), importance(champion, logs.propensity)
    new_draws, old_draws = _resampled(logs, (new, old), how)
    gap = snips(logs.gain, new) - snips(logs.gain, old)
    return Comparison(
        _estimate(logs, new, new_draws, how),
        _estimate(logs, old, old_draws, how),
        _interval(gap, new_draws - old_draws, how.level),
    )


def _estimate(logs: Logs, weights: Floats, draws: Floats, how: Resampling) -> Estimate:
    value = snips(logs.gain, weights)
    interval = _interval(value, draws, how.level)
    return Estimate(ips(logs.gain, weights), value, effective_size(weights), len(logs), interval)


def _interval(value: float, draws: Floats, level: float) -> Interval:
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail]) if len(draws) else (value, value)
    return Interval(value, float(low), float(high), level)


def _resampled(logs: Logs, policies: Sequence[Floats], how: Resampling) -> list[Floats]:
    """SNIPS of each policy on each resample: one array of shape (resamples,) per policy."""
    if not len(logs):
        return [np.zeros(0) for _ in policies]
    _, cluster = np.unique(np.asarray(logs.cluster), return_inverse=True)
    sums = [np.bincount(cluster, weights=values) for w in policies for values in (w * logs.gain, w)]
    totals = np.stack(sums, axis=1)
    drawn = _cluster_draws(len(totals), how)
    summed = np.concatenate([counts @ totals for counts in drawn])
    return [_ratio(summed[:, 2 * i], summed[:, 2 * i + 1]) for i in range(len(policies))]


def _cluster_draws(clusters: int, how: Resampling) -> list[Floats]:
    """How often each cluster is drawn: chunks of shape (at most 100, clusters)."""
    generator = np.random.default_rng(how.seed)
    chunks = []
    for start in range(0, how.resamples, _CHUNK):
        size = min(_CHUNK, how.resamples - start)
        picked = generator.integers(0, clusters, size=(size, clusters))
        offset = picked + np.arange(size)[:, None] * clusters
        counts: npt.NDArray[np.int64] = np.bincount(offset.ravel(), minlength=size * clusters)
        chunks.append(counts.reshape(size, clusters).astype(np.float64))
    return chunks


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0.0)
