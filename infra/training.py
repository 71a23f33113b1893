"""Training, exporting and undoing, over this installation's archive and model store. Carries out what `models`
computes; knows no metric."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.consent import Held
from engine.ledger import refused_by
from infra.archive import read_events
from infra.clock import now_ms
from infra.config import Configuration, load
from infra.ledger_store_consent import ConsentLedger, open_ledger
from infra.model_store import ModelStore
from infra.settings import Settings
from models.action import Options
from models.dataset import Examples, Scope, Vectors, examples_of, export, logged_vectors
from models.permission import Permit, permit_of
from models.replayed import replayed_vectors
from models.train import Plan, Progress, Trained, silent, train

KINDS = ("decision", "outcome")
DAY_MS = 86_400_000
MEMBERS = 10
LOGGED, REPLAYED = "logged", "replayed"


class Choice(msgspec.Struct, frozen=True):
    """What to learn from: outcome window (ms), placement (all where empty), where vectors come from, and the moment
    (ms) from which decisions count."""

    window: int = 7 * DAY_MS
    placement: str = ""
    vectors: str = LOGGED
    since: int = 0


USUAL = Choice()


def _vectors(settings: Settings, choice: Choice) -> Vectors:
    if choice.vectors != REPLAYED:
        return logged_vectors
    return replayed_vectors(load(settings.config_dir).catalogue, ModelStore(settings.models_dir).specs())


def _ledger(settings: Settings) -> ConsentLedger:
    return ConsentLedger(open_ledger(settings.database), now_ms)


def held_now(settings: Settings) -> Mapping[str, Held]:
    """What each identifier holds, by the consent ledger as it stands now."""
    return _ledger(settings).everything()


def permitted(settings: Settings) -> Permit:
    """Whose decisions may be learnt from, by the consent ledger as it stands now."""
    return permit_of(refused_by(held_now(settings), load(settings.config_dir).purposes))


def rewards_of(settings: Settings) -> Mapping[str, float]:
    """What an outcome is worth by its kind, as the catalogue says now."""
    return load(settings.config_dir).catalogue.rewards


def _members(found: Configuration) -> int:
    """How large an ensemble is learned: none where no placement draws from one."""
    placements = found.catalogue.placements.values()
    return MEMBERS if any(one.exploration.kind == "thompson" for one in placements) else 0


def train_model(settings: Settings, choice: Choice = USUAL, progress: Progress = silent) -> Trained:
    """Learn from the archive and store the model; it does not serve until promoted. Raises `ModelError`s."""
    table = read_events(settings.archive, KINDS)
    found = load(settings.config_dir)
    learning = Options(members=_members(found), without=tuple(found.protection.columns()))
    asked = permitted(settings)
    plan = Plan(learning, choice.placement, _vectors(settings, choice), asked, found.catalogue.rewards, choice.since)
    trained = train(table, now_ms(), choice.window, plan, progress)
    ModelStore(settings.models_dir).save(trained.version, trained.files)
    return trained


def roll_back(settings: Settings) -> str | None:
    """Serve again what served before; None is the assumed rates. Raises `NothingBefore`."""
    return ModelStore(settings.models_dir).rollback(now_ms())


def export_dataset(settings: Settings, path: Path, choice: Choice = USUAL) -> Examples:
    """The training set as one Parquet file; returns what was written, and what was left out by reason."""
    permit, rewards = permitted(settings), rewards_of(settings)
    scope = Scope(now_ms(), choice.window, choice.placement, permit, rewards, choice.since)
    made = examples_of(read_events(settings.archive, KINDS), scope, _vectors(settings, choice))
    export(made, path)
    return made
