"""Training, judging, promoting and undoing, over this installation's archive and model store. Carries out what `models`
computes; knows no metric."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from infra.archive import read_events
from infra.config import load
from infra.model_store import ModelStore
from infra.settings import Settings
from models.dataset import Scope, Vectors, examples_of, export, logged_vectors
from models.evaluate import Comparison
from models.registry import Gate, Verdict, judge_promotion
from models.replayed import replayed_vectors
from models.scorer import PriorModel, Scorer, Unfit, load_model
from models.train import Plan, Progress, Question, Trained, card_of, evaluate, silent, train

KINDS = ("decision", "outcome")
DAY_MS = 86_400_000
LOGGED, REPLAYED = "logged", "replayed"


class Choice(msgspec.Struct, frozen=True):
    """What to learn from: outcome window (ms), placement (all where empty), and where vectors come from."""

    window: int = 7 * DAY_MS
    placement: str = ""
    vectors: str = LOGGED


USUAL = Choice()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _vectors(settings: Settings, choice: Choice) -> Vectors:
    if choice.vectors != REPLAYED:
        return logged_vectors
    return replayed_vectors(load(settings.config_dir).catalogue, ModelStore(settings.models_dir).specs())


def train_model(settings: Settings, choice: Choice = USUAL, progress: Progress = silent) -> Trained:
    """Learn from the archive and store the model; it does not serve until promoted. Raises `ModelError`s."""
    table = read_events(settings.archive, KINDS)
    plan = Plan(placement=choice.placement, vectors=_vectors(settings, choice))
    trained = train(table, now_ms(), choice.window, plan, progress)
    ModelStore(settings.models_dir).save(trained.version, trained.files)
    return trained


def judge(
    settings: Settings, version: str, gate: Gate | None = None, placement: str = ""
) -> tuple[Comparison, Verdict]:
    """The stored version against the champion, on decisions the version did not learn from: those of one placement
    (where it explores most, say), else of all it learned from."""
    store = ModelStore(settings.models_dir)
    files = store.files(version)
    card = card_of(files)
    question = Question(now=now_ms(), window=card.window, since=card.judged_from, placement=placement or card.placement)
    champion: Scorer = PriorModel()
    serving = store.champion()
    if serving is not None:
        try:
            champion = load_model(store.files(serving))
        except Unfit:
            champion = PriorModel()  # a champion that cannot serve does not: the assumed rates do
    comparison = evaluate(read_events(settings.archive, KINDS), question, load_model(files), champion)
    return comparison, judge_promotion(card, comparison, gate or Gate())


def promote_now(settings: Settings, version: str, reason: str = "", placement: str = "") -> dict[str, Any]:
    """Let a version serve if the gate agrees, or for a stated reason against it. Says what the gate found."""
    comparison, verdict = judge(settings, version, placement=placement)
    served = verdict.promote or bool(reason)
    found = {**msgspec.to_builtins(verdict), "version": version, "promoted": served, "forced": reason or None}
    if served:
        why = {"code": verdict.code, "text": verdict.text, "numbers": verdict.numbers, "forced": reason or None}
        ModelStore(settings.models_dir).promote(version, now_ms(), why)
    return {**found, "comparison": msgspec.to_builtins(comparison)}


async def promote(settings: Settings, version: str, reason: str) -> Mapping[str, Any]:
    """`promote_now` off the event loop: reading the archive takes seconds."""
    return await asyncio.to_thread(promote_now, settings, version, reason)


def roll_back(settings: Settings) -> str | None:
    """Serve again what served before; None is the assumed rates. Raises `NothingBefore`."""
    return ModelStore(settings.models_dir).rollback(now_ms())


def export_dataset(settings: Settings, path: Path, choice: Choice = USUAL) -> int:
    """The training set as one Parquet file; returns the number of rows."""
    scope = Scope(now_ms(), choice.window, choice.placement)
    return export(examples_of(read_events(settings.archive, KINDS), scope, _vectors(settings, choice)), path)
