"""The gate over this installation: a stored version against the champion, on the archive's decisions, with the tries
spent on that log and the parity measured now. Carries out what `models` computes; knows no estimator."""

from collections.abc import Mapping
from typing import Any

import msgspec

from infra.archive import read_events
from infra.clock import now_ms
from infra.config import load
from infra.ledger_store import SqlKeys, open_database
from infra.model_store import ModelStore
from infra.parity import Sample, measure
from infra.settings import Settings
from infra.training import permitted, rewards_of
from models.evaluate import Comparison
from models.evidence import Evidence, compared
from models.parity import blocking
from models.registry import USUAL, Gate, Verdict, judge_promotion, level_of
from models.scorer import ModelError, PriorModel, Scorer, Unfit, load_model
from models.train import GATE_METHOD, Question, card_of, evidence_of

KINDS = ("decision", "outcome")
PARITY_SAMPLE = 300
SAME_LOG = 0.5
DRAWS_IN_TAIL = 25


class Force(msgspec.Struct, frozen=True):
    """Why the gate is overruled, and who answers for it."""

    reason: str
    approver: str


class Incomplete(ModelError):
    """Overruling the gate takes a reason and an approver."""


def judge(settings: Settings, version: str, gate: Gate = USUAL, placement: str = "") -> tuple[Comparison, Verdict]:
    """The stored version against the champion, on decisions the version did not learn from: those of one placement
    (where it explores most, say), else of all it learned from. What no model may use is read from the configuration."""
    gate = msgspec.structs.replace(gate, protection=load(settings.config_dir).protection)
    store = ModelStore(settings.models_dir)
    files = store.files(version)
    card = card_of(files)
    question = Question(now=now_ms(), window=card.window, since=card.judged_from, placement=placement or card.placement)
    question = msgspec.structs.replace(question, permit=permitted(settings), rewards=rewards_of(settings))
    found = evidence_of(read_events(settings.archive, KINDS), question, load_model(files), _champion(store))
    tries = _spend(store, version, found, question)
    level = level_of(tries, gate)
    # the further out in the tail a bound lies, the more resamples it takes to see it
    resamples = max(GATE_METHOD.resamples, int(2 * DRAWS_IN_TAIL / (1.0 - level)))
    method = msgspec.structs.replace(GATE_METHOD, level=level, resamples=resamples)
    comparison = msgspec.structs.replace(compared(found, method), tries=tries)
    verdict = judge_promotion(card, comparison, gate)
    return comparison, with_parity(settings, verdict, card.columns) if verdict.promote else verdict


def _champion(store: ModelStore) -> Scorer:
    serving = store.champion()
    if serving is None:
        return PriorModel()
    try:
        return load_model(store.files(serving))
    except Unfit:
        return PriorModel()  # a champion that cannot serve does not: the assumed rates do


def _spend(store: ModelStore, version: str, found: Evidence, question: Question) -> int:
    """Which try this is on this log: earlier ones count where they looked at half of the same decisions. Asking the
    very same again is no new try."""
    if not len(found):
        return 1
    times = found.times
    now = {"version": version, "placement": question.placement, "first": int(times.min()), "last": int(times.max())}
    tries = store.tries()
    same = [one for one in tries if one["placement"] == question.placement and _share(one, times) >= SAME_LOG]
    if any({**one, "at": 0} == {**now, "at": 0} for one in same):
        return next(place for place, one in enumerate(same, 1) if {**one, "at": 0} == {**now, "at": 0})
    store.note_try({**now, "at": question.now})
    return len(same) + 1


def _share(one: Mapping[str, Any], times: Any) -> float:
    return float(((times >= one["first"]) & (times <= one["last"])).mean())


def with_parity(settings: Settings, verdict: Verdict, columns: Mapping[str, str]) -> Verdict:
    """A model must not be served on values that are not those of the archive it learned from (law 7)."""
    found = measure(settings, now_ms(), Sample(PARITY_SAMPLE))
    problem = blocking(found, columns)
    return Verdict(False, "parity", problem, verdict.numbers) if problem else verdict


def promote_now(settings: Settings, version: str, force: Force | None = None, placement: str = "") -> dict[str, Any]:
    """Let a version serve if the gate agrees, or against it for a stated reason that somebody answers for. Says what
    the gate found; overruling it is in the audit trail. Raises `Incomplete`."""
    if force is not None and not (force.reason.strip() and force.approver.strip()):
        raise Incomplete("overruling the gate takes a reason and an approver; give both")
    comparison, verdict = judge(settings, version, placement=placement)
    served = verdict.promote or force is not None
    forced = None if force is None else msgspec.to_builtins(force)
    if served:
        if force is not None:
            _note(settings, version, force, verdict)
        why = {"code": verdict.code, "text": verdict.text, "numbers": verdict.numbers, "forced": forced}
        ModelStore(settings.models_dir).promote(version, now_ms(), why)
    found = {**msgspec.to_builtins(verdict), "version": version, "promoted": served, "forced": forced}
    return {**found, "comparison": msgspec.to_builtins(comparison)}


def _note(settings: Settings, version: str, force: Force, verdict: Verdict) -> None:
    keys = SqlKeys(open_database(settings.database), now_ms)
    keys.note(force.approver, "model promoted against the gate", f"{version} ({verdict.code}): {force.reason}")
