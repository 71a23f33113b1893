"""The rules of the model registry: what a version is called, what its card says, and when it may serve. Pure; knows
nothing of where models are stored."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec

from models.evaluate import Comparison
from models.scorer import changed_columns

NOT_PROVEN = (
    "The gate compares what was logged at rank 1 where that action was presented: it does not prove the value of lower "
    "ranks, of placements or people absent from the log, of effects that last longer than the outcome window, or that "
    "tomorrow's customers answer like yesterday's."
)


class Period(msgspec.Struct, frozen=True):
    """Decision times in ms, both ends included."""

    first: int
    last: int


class Card(msgspec.Struct, frozen=True, omit_defaults=False):
    """What there is to know about a model. `columns` maps every column it uses to its spec hash; `judged_from` is the
    time of the first decision it did not learn from, in ms; `placement` the only one it learned from, if not all."""

    version: str
    created: int
    data: Period
    judged_from: int
    window: int
    counts: dict[str, int]
    left_out: dict[str, int]
    metrics: dict[str, float]
    policy: dict[str, Any]
    columns: dict[str, str]
    spec_hash: str
    importance: dict[str, float]
    parameters: dict[str, Any]
    trees: int
    calibration: str
    libraries: dict[str, str]
    not_proven: str = NOT_PROVEN
    placement: str = ""


class Gate(msgspec.Struct, frozen=True):
    """When a challenger may serve: by how much it must win for sure, and on how many effective decisions and people."""

    margin: float = 0.0
    fewest_effective: float = 10.0
    fewest_people: int = 30


USUAL = Gate()


class Verdict(msgspec.Struct, frozen=True):
    """Whether a challenger may serve, why in a word and in a sentence, and the numbers behind it."""

    promote: bool
    code: str
    text: str
    numbers: dict[str, float] = {}


def version_of(model: bytes, now: int) -> str:
    """When it was made (UTC) and the first letters of what it is: `m20260131-120000-1a2b3c4d`."""
    made = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%d-%H%M%S")
    return f"m{made}-{hashlib.sha256(model).hexdigest()[:8]}"


def judge_promotion(card: Card, comparison: Comparison, gate: Gate = USUAL) -> Verdict:
    """Whether the challenger may take over: same columns, enough evidence, and better than the champion for sure."""
    numbers = _numbers(comparison)
    changed = changed_columns(msgspec.to_builtins(card))
    if changed:
        text = f"Columns it uses mean something else now: {', '.join(changed)}. Train a new model."
        return Verdict(False, "columns_changed", text, numbers)
    if comparison.ess < gate.fewest_effective:
        text = (
            f"Only {comparison.ess:.0f} effective decisions speak about the difference; "
            f"{gate.fewest_effective:.0f} are needed. Wait for more decisions or explore more."
        )
        return Verdict(False, "too_little_evidence", text, numbers)
    if comparison.people < gate.fewest_people:
        text = f"Only {comparison.people} people speak about it; {gate.fewest_people} are needed to see how they vary."
        return Verdict(False, "too_little_evidence", text, numbers)
    gap = comparison.difference
    said = f"{gap.value:+.4g} per decision, {gap.level:.0%} interval {gap.low:+.4g} to {gap.high:+.4g}"
    if gap.low > gate.margin:
        return Verdict(True, "better", f"Better than the champion: {said}, margin {gate.margin:g}.", numbers)
    text = f"Not surely better than the champion: {said}; the lower bound must exceed {gate.margin:g}."
    return Verdict(False, "not_better", text, numbers)


def _numbers(comparison: Comparison) -> dict[str, float]:
    return {
        "challenger": comparison.challenger.snips,
        "champion": comparison.champion.snips,
        "difference": comparison.difference.value,
        "low": comparison.difference.low,
        "high": comparison.difference.high,
        "challenger_ess": comparison.challenger.ess,
        "champion_ess": comparison.champion.ess,
        "decisions": float(comparison.challenger.decisions),
        "apart": comparison.apart,
        "ess": comparison.ess,
        "people": float(comparison.people),
    }
