"""What logged decisions say about two rival policies, gathered one after the other: a few numbers of each, so that
no candidate's row is kept. Knows nothing of verdicts."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import msgspec
import numpy as np
import numpy.typing as npt

from features.spec import INDEX
from models.dataset import Logged
from models.evaluate import USUAL, Comparison, Logs, Method, Rivals, Slice, compare, importance, mean_interval
from models.policy import distribution_of, exploration_of, logging_distribution, worths
from models.scorer import Floats, Scorer

CHUNK = 1000
SLICE_ESS = 200.0
_ROUNDING = 1e-12
_AGE = INDEX["trait_age"]
_BANDS = ((25.0, "under 25"), (40.0, "25 to 39"), (60.0, "40 to 59"), (float("inf"), "60 and over"))
NUMBERS = (
    *("gain", "propensity", "challenger", "champion", "shared", "apart"),
    *("expected", "expected_challenger", "expected_champion", "unsupported", "certain", "at"),
)


class Evidence(msgspec.Struct, frozen=True, eq=False):
    """Parallel over decisions: the columns of `NUMBERS`, whose they were, where they were shown, and labels to slice
    by. `expected…` are the challenger's own expectations of gain, `certain` is 1 where the log could show one thing."""

    numbers: dict[str, Floats]
    people: list[str]
    placements: list[str]
    labels: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.people)

    @property
    def times(self) -> npt.NDArray[np.int64]:
        return self.numbers["at"].astype(np.int64)

    def part(self, chosen: npt.NDArray[np.bool_]) -> "Evidence":
        """The decisions chosen, without labels."""
        places = np.flatnonzero(chosen).tolist()
        numbers = {name: column[chosen] for name, column in self.numbers.items()}
        return Evidence(numbers, [self.people[i] for i in places], [self.placements[i] for i in places], {})


def age_band(one: Logged) -> str:
    age = float(one.rows[0, _AGE])
    return next(name for below, name in _BANDS if age < below) if age >= 0.0 else "unknown"


def _language(one: Logged) -> str:
    languages = one.record.policy.get("languages") or ["unknown"]
    return str(languages[0])


SLICES: Mapping[str, Callable[[Logged], str]] = {
    "segment": lambda one: one.record.segment,
    "language": _language,
    "age band": age_band,
}


def gather(logged: Iterable[Logged], challenger: Scorer, champion: Scorer) -> Evidence:
    """The evidence of decisions judged at rank 1; holds the rows of a thousand decisions at a time."""
    columns: dict[str, list[float]] = {name: [] for name in NUMBERS}
    people: list[str] = []
    placements: list[str] = []
    labels: dict[str, list[str]] = {name: [] for name in SLICES}
    for chunk in _chunks(logged):
        for one, values in zip(chunk, _rated(chunk, challenger, champion), strict=True):
            for name, value in zip(NUMBERS, values, strict=True):
                columns[name].append(value)
            people.append(one.record.profile_id)
            placements.append(one.record.placement)
            for name, label in SLICES.items():
                labels[name].append(label(one))
    return Evidence({n: np.asarray(c, dtype=np.float64) for n, c in columns.items()}, people, placements, labels)


def _chunks(logged: Iterable[Logged]) -> Iterator[list[Logged]]:
    waiting = iter(logged)
    while chunk := list(islice(waiting, CHUNK)):
        yield chunk


def _rated(chunk: list[Logged], challenger: Scorer, champion: Scorer) -> Iterator[tuple[float, ...]]:
    rows = np.concatenate([one.rows for one in chunk])
    new, old = challenger.probabilities(rows).tolist(), champion.probabilities(rows).tolist()
    end = 0
    for one in chunk:
        begin, end = end, end + len(one.rows)
        yield _numbers(one, new[begin:end], old[begin:end])


def _numbers(one: Logged, new: list[float], old: list[float]) -> tuple[float, ...]:
    exploration, worth, shown = exploration_of(one), worths(one), one.presented
    ours, theirs = distribution_of(one, new, exploration), distribution_of(one, old, exploration)
    logging = logging_distribution(one)
    shared = [min(a, b) for a, b in zip(ours, theirs, strict=True)]
    gains = [chance * each for chance, each in zip(new, worth, strict=True)]
    apart = 1.0 - sum(shared)
    return (
        one.reward * worth[shown],
        one.propensity,
        ours[shown],
        theirs[shown],
        shared[shown],
        0.0 if apart < _ROUNDING else apart,
        gains[shown],
        sum(p * gain for p, gain in zip(ours, gains, strict=True)),
        sum(p * gain for p, gain in zip(theirs, gains, strict=True)),
        sum(p for p, logged in zip(ours, logging, strict=True) if logged <= 0.0),
        float(len(logging) > 1 and max(logging) >= 1.0),
        float(one.record.at),
    )


def logs_in(found: Evidence) -> Logs:
    return Logs(found.numbers["gain"], found.numbers["propensity"], found.people)


def rivals_in(found: Evidence) -> Rivals:
    n = found.numbers
    return Rivals(
        n["challenger"], n["champion"], n["challenger"] - n["shared"], n["champion"] - n["shared"], n["apart"]
    )


def compared(found: Evidence, how: Method = USUAL) -> Comparison:
    """Everything the gate looks at: both policies, their difference by two estimators, support, slices."""
    whole = compare(logs_in(found), rivals_in(found), how)
    if not len(found):
        return whole
    raw = importance(found.numbers["challenger"], found.numbers["propensity"])
    cut = importance(found.numbers["challenger"], found.numbers["propensity"], how.clip)
    return msgspec.structs.replace(
        whole,
        doubly_robust=mean_interval(logs_in(found), _doubly_robust(found, how.clip), how),
        unsupported=float(found.numbers["unsupported"].mean()),
        unexplored=_unexplored(found),
        clip_bias=float(np.mean((raw - cut) * found.numbers["gain"])),
        slices=tuple(_slices(found, how)),
        first=int(found.times.min()),
        last=int(found.times.max()),
    )


def _doubly_robust(found: Evidence, clip: float | None) -> Floats:
    """Challenger minus champion per decision: the expectation, corrected where the log knows better."""
    n = found.numbers
    weights = importance(n["challenger"], n["propensity"], clip) - importance(n["champion"], n["propensity"], clip)
    return n["expected_challenger"] - n["expected_champion"] + weights * (n["gain"] - n["expected"])


def _unexplored(found: Evidence) -> tuple[str, ...]:
    certain: dict[str, bool] = defaultdict(lambda: True)
    for placement, one in zip(found.placements, found.numbers["certain"].tolist(), strict=True):
        certain[placement] = certain[placement] and one > 0.0
    return tuple(sorted(name for name, never in certain.items() if never))


def _slices(found: Evidence, how: Method) -> Iterator[Slice]:
    """Every slice with enough effective decisions to say something about it."""
    for by, labels in found.labels.items():
        column = np.asarray(labels)
        for name, count in zip(*np.unique(column, return_counts=True), strict=True):
            if count < SLICE_ESS:
                continue
            part = found.part(column == name)
            one = compare(logs_in(part), rivals_in(part), how)
            if one.ess >= SLICE_ESS:
                yield Slice(by, str(name), len(part), one.ess, one.difference)
