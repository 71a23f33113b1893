"""From archived rows to a model with its card and pictures, and from there to a verdict. Knows nothing of where rows
come from or where files go."""

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version as installed
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from sklearn.metrics import log_loss, roc_auc_score

from engine.outcome import DEFAULT_REWARDS
from features.spec import SPEC_HASH
from models import plots
from models.action import Fitted, Options, Parts, as_model, fit, importance_of, parts_of
from models.dataset import Examples, Scope, Vectors, examples_of, logged_in, logged_vectors
from models.evaluate import Comparison, Method, estimate
from models.evidence import Evidence, compared, gather
from models.leakage import leaking
from models.permission import Permit, everyone
from models.policy import first_rank, logs_of, target_propensities
from models.registry import Card, Period, version_of
from models.scorer import (
    CALIBRATION_FILE,
    CARD_FILE,
    CROSSED_FILE,
    ENCODING_FILE,
    ENSEMBLE_FILE,
    MODEL_FILE,
    SPEC_OF,
    Floats,
    Scorer,
    used_by,
)

LIBRARIES = ("rapport", "lightgbm", "numpy", "scikit-learn")
STAGES = ("read decisions", "learn", "judge", "draw")
Progress = Callable[[str, int, int], None]


class Plan(msgspec.Struct, frozen=True):
    """What to learn from and how. `vectors` is where rows come from: as logged, or replayed. `permit` says of each
    decision whether its person permits it. What was decided before `since` (ms) teaches nothing any more."""

    learning: Options = Options()
    placement: str = ""
    vectors: Vectors = logged_vectors
    permit: Permit = everyone
    rewards: Mapping[str, float] = DEFAULT_REWARDS
    since: int = 0


USUAL = Plan()


class Trained(msgspec.Struct, frozen=True, eq=False):
    """A model as files by name, with its card."""

    version: str
    card: Card
    files: dict[str, bytes]


def silent(_stage: str, _done: int, _of: int) -> None:
    return None


def train(table: pa.Table, now: int, window: int, plan: Plan = USUAL, progress: Progress = silent) -> Trained:
    """Learn from the decisions of an events table whose outcome window (ms) is closed at `now`.

    Raises `NothingToLearn`, saying why, where there are too few.
    """
    progress(STAGES[0], 0, len(STAGES))
    scope = Scope(now, window, plan.placement, plan.permit, plan.rewards, plan.since)
    made = examples_of(table, scope, plan.vectors)
    progress(STAGES[1], 1, len(STAGES))
    parts = parts_of(made, plan.learning.shares)
    fitted = fit(parts, plan.learning)
    progress(STAGES[2], 2, len(STAGES))
    files = _model_files(fitted)
    version = version_of(b"".join(files[name] for name in (MODEL_FILE, CROSSED_FILE, CALIBRATION_FILE)), now)
    model = as_model(version, fitted)
    chances, rewards = model.probabilities(parts.judge.matrix), parts.judge.rewards
    card = _card(made, parts, fitted, (version, now, window))
    card = msgspec.structs.replace(
        card,
        metrics=metrics(chances, rewards),
        policy=_policy(parts.judge, model),
        placement=plan.placement,
        leaks={name: why for name, why in leaking(made.matrix, made.rewards).items() if name in card.columns},
    )
    progress(STAGES[3], 3, len(STAGES))
    files[CARD_FILE] = msgspec.json.format(msgspec.json.encode(card), indent=2)
    files |= {
        "reliability.png": plots.reliability(chances, rewards),
        "lift.png": plots.lift(chances, rewards),
        "importance.png": plots.importance(card.importance),
    }
    progress(STAGES[3], len(STAGES), len(STAGES))
    return Trained(version, card, files)


def _model_files(fitted: Fitted) -> dict[str, bytes]:
    boosters = fitted.boosters
    members = msgspec.json.encode([member.model_to_string() for member in boosters.members])
    return {
        MODEL_FILE: boosters.plain.model_to_string().encode(),
        CROSSED_FILE: boosters.crossed.model_to_string().encode(),
        ENCODING_FILE: msgspec.json.encode(fitted.encoding),
        CALIBRATION_FILE: msgspec.json.encode(fitted.calibration),
        **({ENSEMBLE_FILE: members} if boosters.members else {}),
    }


def _card(made: Examples, parts: Parts, fitted: Fitted, made_when: tuple[str, int, int]) -> Card:
    version, now, window = made_when
    gains = importance_of(fitted)
    times = made.times
    return Card(
        version=version,
        created=now,
        data=Period(int(times[0]), int(times[-1])),
        judged_from=int(parts.judge.times[0]),
        window=window,
        counts={name: len(getattr(parts, name)) for name in ("fit", "stop", "calibrate", "judge")},
        left_out=made.left_out,
        metrics={},
        policy={},
        columns={name: SPEC_OF[name] for name in used_by(fitted.boosters, fitted.encoding)},
        spec_hash=SPEC_HASH,
        importance={name: round(gain, 3) for name, gain in gains.items()},
        parameters=fitted.parameters,
        trees=fitted.trees,
        calibration=fitted.calibration.kind,
        calibrated_on=fitted.calibrated_on,
        libraries={name: installed(name) for name in LIBRARIES} | {"python": platform.python_version()},
    )


def metrics(chances: Floats, rewards: Floats) -> dict[str, float]:
    """How well probabilities match rewards: AUC (where both outcomes occur), log loss, Brier, calibration error."""
    labels = (rewards > 0.5).astype(int)
    both = 0 < labels.sum() < len(labels)
    bins = plots.by_quantile(chances, rewards)
    return {
        **({"auc": float(roc_auc_score(labels, chances))} if both else {}),
        "log_loss": float(log_loss(labels, np.clip(chances, 1e-6, 1 - 1e-6), labels=[0, 1])),
        "brier": float(np.mean((chances - rewards) ** 2)),
        "ece": sum(size * abs(x - y) for x, y, size in bins) / len(rewards),
        "base_rate": float(rewards.mean()),
    }


def _policy(judge: Examples, model: Scorer) -> dict[str, Any]:
    logged = first_rank(judge.logged)
    logs = logs_of(logged)
    if not len(logs):
        return {"decisions": 0}
    value = estimate(logs, target_propensities(logged, model))
    return {**msgspec.to_builtins(value), "logged_mean": float(logs.gain.mean())}


# A row of a uniform pilot weighs its number of candidates; one found by a small exploration share next to it would
# weigh hundreds and drown it, though both are one look at the same choice.
GATE_METHOD = Method(clip=50.0, level=0.95)


class Question(msgspec.Struct, frozen=True):
    """On which decisions to compare: those made at or after `since` with their window closed at `now`."""

    now: int
    window: int
    since: int = 0
    placement: str = ""
    vectors: Vectors = logged_vectors
    how: Method = GATE_METHOD
    permit: Permit = everyone
    rewards: Mapping[str, float] = DEFAULT_REWARDS


def evaluate(table: pa.Table, question: Question, challenger: Scorer, champion: Scorer) -> Comparison:
    """Both policies on the decisions of an events table of the question, rank 1 only."""
    return compared(evidence_of(table, question, challenger, champion), question.how)


def evidence_of(table: pa.Table, question: Question, challenger: Scorer, champion: Scorer) -> Evidence:
    """What the decisions of the question say about both; rows are looked at and let go."""
    scope = Scope(question.now, question.window, question.placement, question.permit, question.rewards)
    logged = logged_in(table, scope, question.vectors)
    return gather((one for one in logged if one.rank == 1 and one.record.at >= question.since), challenger, champion)


def card_of(files: Mapping[str, bytes]) -> Card:
    """The card of a stored bundle."""
    return msgspec.json.decode(files[CARD_FILE], type=Card)
