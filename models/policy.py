"""What a model would have chosen in decisions already made: the same arbitration and exploration as serving, over the
logged candidates. Knows nothing of outcomes."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from engine.catalog import Exploration
from engine.decision import Scored, propensities
from models.dataset import Logged
from models.evaluate import Logs, Rivals
from models.scorer import Floats, Scorer

_CHUNK = 2000
_ROUNDING = 1e-12


def first_rank(logged: Sequence[Logged]) -> list[Logged]:
    """The decisions whose outcome is about rank 1: only there do slate and single choice mean the same."""
    return [one for one in logged if one.rank == 1]


def logs_of(logged: Sequence[Logged]) -> Logs:
    """Gain is the reward times what arbitration multiplies the probability with: the thing a policy maximises."""
    return Logs(
        gain=np.asarray([one.reward * _worth(one) for one in logged]),
        propensity=np.asarray([one.propensity for one in logged]),
        cluster=[one.record.profile_id for one in logged],
    )


def _worth(one: Logged) -> float:
    return worths(one)[one.presented]


def worths(one: Logged) -> list[float]:
    """What arbitration multiplies each candidate's probability with."""
    return [candidate.value * candidate.weight * candidate.lever for candidate in one.record.candidates]


def target_propensities(logged: Sequence[Logged], scorer: Scorer) -> Floats:
    """The probability that the policy of this model shows the logged action at rank 1: shape (decisions,)."""
    return _of_logged(logged, distributions(logged, scorer))


def rivals_of(logged: Sequence[Logged], challenger: Scorer, champion: Scorer) -> Rivals:
    """Two models as policies over the same decisions."""
    new, old = list(distributions(logged, challenger)), list(distributions(logged, champion))
    both = [[min(a, b) for a, b in zip(*pair, strict=True)] for pair in zip(new, old, strict=True)]
    gained, lost, shared = (_of_logged(logged, shares) for shares in (new, old, both))
    apart = np.asarray([max(1.0 - sum(shares), 0.0) for shares in both])
    return Rivals(gained, lost, gained - shared, lost - shared, np.where(apart < _ROUNDING, 0.0, apart))


def _of_logged(logged: Sequence[Logged], shares: Iterable[Sequence[float]]) -> Floats:
    return np.asarray([own[one.presented] for one, own in zip(logged, shares, strict=True)], dtype=np.float64)


def distributions(logged: Sequence[Logged], scorer: Scorer) -> Iterator[list[float]]:
    """For each decision the probability of every candidate at rank 1."""
    for start in range(0, len(logged), _CHUNK):
        part = logged[start : start + _CHUNK]
        chances = scorer.probabilities(np.concatenate([one.rows for one in part]))
        end = 0
        for one in part:
            begin, end = end, end + len(one.rows)
            yield _distribution(one, chances[begin:end].tolist())


def _distribution(one: Logged, chances: Sequence[float]) -> list[float]:
    return distribution_of(one, chances, exploration_of(one))


def distribution_of(one: Logged, chances: Sequence[float], exploration: Exploration) -> list[float]:
    """How likely each candidate would have been at rank 1, had they had these probabilities."""
    scored = [
        Scored(c.action_id, chance, c.value, c.weight, c.lever, c.explorable, c.group)
        for c, chance in zip(one.record.candidates, chances, strict=True)
    ]
    return propensities(scored, range(len(scored)), exploration)


def logging_distribution(one: Logged) -> list[float]:
    """How likely each candidate really was at rank 1: the logged scores under the logged exploration."""
    scored = [Scored(*msgspec.structs.astuple(candidate)) for candidate in one.record.candidates]
    return propensities(scored, range(len(scored)), logged_exploration(one))


def logged_exploration(one: Logged) -> Exploration:
    policy = one.record.policy
    kind, share = str(policy.get("exploration", "none")), float(policy.get("share", 0.0))
    return Exploration(kind, share, float(policy.get("temperature", Exploration().temperature)))


def explored_share(one: Logged) -> float:
    """How likely it is that what was shown was drawn by exploration, whatever its score: 1 where all is drawn
    uniformly, 0 where nobody explores."""
    how, candidates = logged_exploration(one), one.record.candidates
    if how.kind == "uniform":
        return 1.0
    shown = [candidate for candidate, _, _ in one.record.slate[: one.rank - 1]]
    gone = {candidates[i].group for i in shown} - {""}
    left = [c for i, c in enumerate(candidates) if c.explorable and i not in shown and c.group not in gone]
    if how.kind == "none" or not candidates[one.presented].explorable:
        return 0.0
    return min(how.share / len(left) / one.propensity, 1.0) if left else 0.0


def exploration_of(one: Logged) -> Exploration:
    """The exploration as logged. Where everything was drawn uniformly every policy would look the same, so there the
    greedy choices are compared; where an ensemble drew, what its mean would choose, with the same share."""
    logged = logged_exploration(one)
    if logged.kind == "thompson":
        return Exploration("epsilon", logged.share)
    return Exploration("none") if logged.kind == "uniform" or logged.share >= 1.0 else logged
