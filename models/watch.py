"""What became of the decisions since: drift of features and score, expected and observed responses over time, response
by action, exploration, and what is still open. Decisions and outcomes come in; knows nothing of archives or pages."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine.outcome import DEFAULT_REWARDS, Outcome, window_closed
from engine.records import DecisionRecord
from engine.signals import DAY
from features.spec import COLUMNS, INDEX, SPEC_HASH
from models.dataset import Logged, Scope, Stale, examples, logged_vectors
from models.drift import FEWEST, Bins, verdict_of
from models.permission import Permit, everyone
from models.registry import Period
from models.scorer import PRIOR_VERSION, Floats, PriorModel, Rows, Scorer
from models.watched import LEVEL, ActionFound, DriftFound, Watched, WindowFound

Mask = npt.NDArray[np.bool_]
MOST_WINDOWS, MOST_ROWS = 31, 100_000
HOUR, MINUTE = 3_600_000, 60_000
_SHORT = (10_000, MINUTE // 2, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE)
LENGTHS = (*_SHORT, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 7 * DAY, 30 * DAY)
# the clock's columns go round: over less than a round they are other numbers each time, and nothing has drifted
ROUNDS = {"hour": DAY, "weekday": 7 * DAY}
TRAINING, FIRST = "training window", "first window"


class Terms(msgspec.Struct, frozen=True, eq=False):
    """How to look: decisions made at or after `since`, outcomes waited for `window` ms, as of `now`. `reference` is
    when the decisions were made that `model` learned from, if it learned from any."""

    now: int
    window: int
    since: int = 0
    model: Scorer = PriorModel()
    reference: Period | None = None
    permit: Permit = everyone
    rewards: Mapping[str, float] = DEFAULT_REWARDS


class _Seen(msgspec.Struct, frozen=True):
    """One decision as far as windows count it; `action` is empty where nothing was judged."""

    at: int
    explored: bool
    open: bool
    action: str = ""
    expected: float = 0.0
    reward: float = 0.0


def interval(mean: float, count: int) -> tuple[float, float]:
    """Wilson's interval for the mean of rewards in [0, 1] at `LEVEL`; it takes decisions as independent."""
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2.0)
    middle, spread = mean + z * z / (2 * count), z * ((mean * (1.0 - mean) + z * z / (4 * count)) / count) ** 0.5
    return max((middle - spread) / (1 + z * z / count), 0.0), min((middle + spread) / (1 + z * z / count), 1.0)


class _Sample:
    """One row of each decision: that of a candidate drawn by its seed, so that neither long slates nor what a policy
    prefers looks like drift. Once it is full, every second row goes and half of the later ones come in."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.rows: list[Rows] = []
        self._step, self._count = 1, 0

    def add(self, record: DecisionRecord) -> None:
        rows = logged_vectors(record)
        if not len(rows):
            return
        self._count += 1
        if self._count % self._step:
            return
        self.times.append(record.at)
        self.rows.append(rows[record.seed % len(rows)].copy())
        if len(self.rows) >= MOST_ROWS:
            del self.times[::2], self.rows[::2]
            self._step *= 2


class Tally:
    """Takes decisions one by one, in any order."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._scope = Scope(terms.now, terms.window, rewards=terms.rewards)
        self._seen: list[_Seen] = []
        self._slates: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._sample, self._learned = _Sample(), _Sample()

    def add(self, record: DecisionRecord, said: Sequence[Outcome]) -> None:
        """Decisions before `since` count only as what the model learned from."""
        terms = self._terms
        why = terms.permit(record)
        if why:
            self._left_out[why] += record.at >= terms.since
            return
        learned = terms.reference
        if learned is not None and learned.first <= record.at <= learned.last and record.spec_hash == SPEC_HASH:
            self._learned.add(record)
        if record.at < terms.since:
            return
        try:
            self._sample.add(record)
        except Stale as stale:
            self._left_out[str(stale)] += 1
        self._slates.update(record.candidates[place].action_id for place, _, _ in record.slate)
        self._seen.append(self._one(record, said))

    def _one(self, record: DecisionRecord, said: Sequence[Outcome]) -> _Seen:
        explored = any(explored for _, _, explored in record.slate)
        if not window_closed(record.at, self._terms.now, self._terms.window):
            return _Seen(record.at, explored, open=True)
        made = examples((record,), {record.decision_id: said}, self._scope, _no_rows)
        self._left_out.update(made.left_out)
        if not made.logged:
            return _Seen(record.at, explored, open=False)
        one: Logged = made.logged[0]
        shown = record.candidates[one.presented]
        return _Seen(record.at, explored, False, shown.action_id, shown.probability, one.reward)

    def found(self) -> Watched:
        terms, seen = self._terms, sorted(self._seen, key=lambda one: one.at)
        first, last = (seen[0].at, seen[-1].at) if seen else (terms.now, terms.now)
        length = length_of(first, last, len(seen))
        starts = range(first - first % length, last + 1, length) if seen else ()
        bare = Watched(terms.now, terms.model.version, terms.window, length, len(seen))
        return msgspec.structs.replace(
            bare,
            windows=tuple(_window(start, [o for o in seen if start <= o.at < start + length]) for start in starts),
            actions=tuple(_by_action(seen, self._slates)),
            left_out=dict(sorted(self._left_out.items())),
            **_drift(_Cut(starts, length), terms.model, self._sample, self._learned),
        )


def _no_rows(_record: DecisionRecord) -> Rows:
    return np.empty((0, len(COLUMNS)), dtype=np.float32)


def watched(decisions: Iterable[DecisionRecord], outcomes: Mapping[str, Sequence[Outcome]], terms: Terms) -> Watched:
    """Everything over decisions and their outcomes (by decision id)."""
    tally = Tally(terms)
    for record in decisions:
        tally.add(record, outcomes.get(record.decision_id, ()))
    return tally.found()


def length_of(first: int, last: int, count: int) -> int:
    """The shortest of the usual lengths with which windows are not too many, nor too thin for an index."""
    most = min(MOST_WINDOWS, max(count // FEWEST, 1))
    return next((one for one in LENGTHS if last // one - first // one < most), LENGTHS[-1])


def _response(judged: Sequence[_Seen]) -> dict[str, Any]:
    if not judged:
        return {}
    observed = sum(one.reward for one in judged) / len(judged)
    low, high = interval(observed, len(judged))
    expected = sum(one.expected for one in judged) / len(judged)
    return {"expected": expected, "observed": observed, "low": low, "high": high}


def _window(since: int, seen: Sequence[_Seen]) -> WindowFound:
    judged = [one for one in seen if one.action]
    counts = (len(seen), sum(one.explored for one in seen), sum(one.open for one in seen), len(judged))
    return WindowFound(since, *counts, **_response(judged))


def _by_action(seen: Sequence[_Seen], slates: Mapping[str, int]) -> list[ActionFound]:
    """The most shown first."""
    judged: dict[str, list[_Seen]] = {name: [] for name in slates}
    for one in seen:
        if one.action:
            judged.setdefault(one.action, []).append(one)
    found = [ActionFound(name, slates.get(name, 0), len(own), **_response(own)) for name, own in judged.items()]
    return sorted(found, key=lambda one: (-one.judged, -one.slates, one.action_id))


class _Cut(msgspec.Struct, frozen=True):
    """Where windows begin (ms), and how long each is."""

    starts: Sequence[int]
    length: int

    def parts(self, times: Sequence[int]) -> list[Mask]:
        at = np.asarray(times, dtype=np.int64)
        return [(at >= start) & (at < start + self.length) for start in self.starts]


def _drift(cut: _Cut, model: Scorer, sample: _Sample, learned: _Sample) -> dict[str, Any]:
    """Every column the model uses and its score against what it learned from, or else the first window that has
    enough rows."""
    parts = cut.parts(sample.times)
    rows = np.asarray(sample.rows, dtype=np.float32).reshape(-1, len(COLUMNS))
    before, against = np.asarray(learned.rows, dtype=np.float32).reshape(-1, len(COLUMNS)), TRAINING
    if len(before) < FEWEST:
        part = next((one for one in parts if one.sum() >= FEWEST), None)
        if part is None:
            return {}
        before, against = rows[part], FIRST
    names = [name for name in columns_of(model) if ROUNDS.get(name, 0) <= cut.length]
    found = [_column(name, before[:, INDEX[name]], rows[:, INDEX[name]], parts) for name in names]
    return {
        "against": against,
        "reference_rows": len(before),
        "score": _column("score", model.probabilities(before), model.probabilities(rows), parts),
        "drift": tuple(sorted(found, key=lambda one: (-(one.latest or 0.0), one.name))),
    }


def columns_of(model: Scorer) -> tuple[str, ...]:
    """What the model uses; every column while none serves."""
    return COLUMNS if model.version == PRIOR_VERSION else model.columns


def _column(name: str, before: Floats | Rows, now: Floats | Rows, parts: Sequence[Mask]) -> DriftFound:
    bins, values = Bins(before.astype(np.float64)), now.astype(np.float64)
    found = [bins.psi(values[part]) if part.sum() >= FEWEST else None for part in parts]
    latest, chance = next((one for one in reversed(found) if one is not None), (None, 0.0))
    indexes = tuple(None if one is None else round(one[0], 6) for one in found)
    return DriftFound(name, indexes, latest, chance, verdict_of(latest, chance))
