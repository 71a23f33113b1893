"""The rules of the model registry: what a version is called, what its card says, and when it may serve. Pure; knows
nothing of where models are stored."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from features.protection import Protection, used_against
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
    time of the first decision it did not learn from, in ms; `placement` the only one it learned from, if not all;
    `leaks` maps a column that knows the answer to why, `calibrated_on` says which decisions calibrated it."""

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
    leaks: dict[str, str] = {}
    calibrated_on: str = ""


class Gate(msgspec.Struct, frozen=True):
    """When a challenger may serve: by how much it must win for sure, on how many effective decisions and people, how
    much of its mass the log may lack, how far off its probabilities may be, the error spent over all tries, and which
    attributes no model may use."""

    margin: float = 0.0
    fewest_effective: float = 10.0
    fewest_people: int = 30
    most_unsupported: float = 0.05
    most_ece: float = 0.1
    error: float = 0.05
    protection: Protection = Protection()


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


def level_of(tries: int, gate: Gate = USUAL) -> float:
    """The level of the two-sided interval that the k-th try on one log is judged by: its lower bound spends
    `error / (k (k + 1))`, so that all tries together spend no more than the error."""
    return 1.0 - 2.0 * gate.error / (tries * (tries + 1))


def judge_promotion(card: Card, comparison: Comparison, gate: Gate = USUAL) -> Verdict:
    """Whether the challenger may take over: fit to serve, enough evidence, and better than the champion for sure."""
    numbers = _numbers(comparison)
    for check in _REFUSALS:
        refused = check(card, comparison, gate)
        if refused is not None:
            return Verdict(False, *refused, numbers)
    gap = comparison.difference
    said = f"{gap.value:+.4g} per decision, {100 * gap.level:.4g} % interval {gap.low:+.4g} to {gap.high:+.4g}"
    if comparison.tries > 1:
        said += f"; try {comparison.tries} on this log, each widens it"
    if gap.low > gate.margin:
        return Verdict(True, "better", f"Better than the champion: {said}, margin {gate.margin:g}.", numbers)
    text = f"Not surely better than the champion: {said}; the lower bound must exceed {gate.margin:g}."
    return Verdict(False, "not_better", text, numbers)


Refusal = tuple[str, str]


def _changed(card: Card, _comparison: Comparison, _gate: Gate) -> Refusal | None:
    changed = changed_columns(msgspec.to_builtins(card))
    if not changed:
        return None
    return "columns_changed", f"Columns it uses mean something else now: {', '.join(changed)}. Train a new model."


def _leaks(card: Card, _comparison: Comparison, _gate: Gate) -> Refusal | None:
    if not card.leaks:
        return None
    named = "; ".join(f"{name} ({why})" for name, why in card.leaks.items())
    return "leaking_feature", f"It learned from what cannot be known at decision time: {named}. Mend it and train anew."


def _protected(card: Card, _comparison: Comparison, gate: Gate) -> Refusal | None:
    found = used_against(gate.protection, card.columns)
    if not found:
        return None
    named = ", ".join(f"{attribute} (column {name})" for name, attribute in found.items())
    remedy = "Train anew, which leaves it out, or allow it in models.yaml with a reason."
    return "protected_attribute", f"It uses what no model may use here: {named}. {remedy}"


def _miscalibrated(card: Card, _comparison: Comparison, gate: Gate) -> Refusal | None:
    error = card.metrics.get("ece", 0.0)
    if error <= gate.most_ece:
        return None
    return "miscalibrated", f"Its probabilities are off by {error:.3f} on average; {gate.most_ece:g} is allowed."


def _unexplored(_card: Card, comparison: Comparison, gate: Gate) -> Refusal | None:
    if comparison.unsupported <= gate.most_unsupported:
        return None
    share = f"{comparison.unsupported:.0%} of what it would show was never shown"
    if comparison.unexplored:
        where = ", ".join(comparison.unexplored)
        return (
            "no_exploration",
            f"{share}: {where} never explored, so nothing can be said there. Let it explore a share.",
        )
    return "too_little_support", f"{share}; {gate.most_unsupported:.0%} is allowed. Explore these actions first."


def _weak(_card: Card, comparison: Comparison, gate: Gate) -> Refusal | None:
    if comparison.ess < gate.fewest_effective:
        return "too_little_evidence", (
            f"Only {comparison.ess:.0f} effective decisions speak about the difference; "
            f"{gate.fewest_effective:.0f} are needed. Wait for more decisions or explore more."
        )
    if comparison.people < gate.fewest_people:
        text = f"Only {comparison.people} people speak about it; {gate.fewest_people} are needed to see how they vary."
        return "too_little_evidence", text
    return None


def _worse_for_some(_card: Card, comparison: Comparison, gate: Gate) -> Refusal | None:
    worse = [one for one in comparison.slices if one.difference.high < -gate.margin]
    if not worse:
        return None
    named = "; ".join(f"{one.by} {one.name}: at most {one.difference.high:+.4g}" for one in worse)
    return "worse_for_some", f"Surely worse than the champion for {named} per decision."


def _disagreeing(_card: Card, comparison: Comparison, gate: Gate) -> Refusal | None:
    other, gap = comparison.doubly_robust, comparison.difference
    if other is None or gap.low <= gate.margin or other.high > 0.0:
        return None
    return "estimators_disagree", (
        f"By its own propensities it is {gap.value:+.4g} per decision, doubly robust at most {other.high:+.4g}: "
        "logged propensities or probabilities are wrong somewhere. Run `rapport parity` and replay some decisions."
    )


_REFUSALS: tuple[Callable[[Card, Comparison, Gate], Refusal | None], ...] = (
    *(_changed, _protected, _leaks, _miscalibrated, _unexplored, _weak, _worse_for_some, _disagreeing),
)


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
        "unsupported": comparison.unsupported,
        "clip_bias": comparison.clip_bias,
        "tries": float(comparison.tries),
        "level": comparison.difference.level,
        **_robust(comparison),
    }


def _robust(comparison: Comparison) -> dict[str, float]:
    found = comparison.doubly_robust
    return {} if found is None else {"dr": found.value, "dr_low": found.low, "dr_high": found.high}
