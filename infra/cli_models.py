"""The model engineer's commands: train, evaluate, promote, rollback, dataset. Parses, calls, prints."""

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from engine.errors import Rejected
from engine.events import parse_time
from engine.step import Rules
from infra.config import load
from infra.model_store import ModelStore
from infra.settings import Settings
from models.evaluate import Comparison, Estimate
from models.registry import NOT_PROVEN, Verdict
from models.scorer import ModelError

console = Console()
HOUR_MS = 3_600_000
Window = Annotated[float, typer.Option("--window", help="Outcome window in hours; younger decisions do not count.")]
Placement = Annotated[str, typer.Option(help="Only decisions of this placement.")]
Judged = Annotated[
    str, typer.Option("--placement", help="Judge on this placement's decisions: the one that explores most.")
]
Vectors = Annotated[str, typer.Option(help="logged, or replayed: recomputed under today's feature spec.")]
Since = Annotated[str, typer.Option(help="Only decisions from this day or moment on: what came before is over.")]
Version = Annotated[str, typer.Argument(help="A version from `rapport models`; default: the newest.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (models, train, evaluate, promote, rollback, dataset):
        app.command()(command)


@contextmanager
def _refusals() -> Any:
    try:
        yield
    except (ModelError, ValueError, OSError) as error:
        Console(stderr=True).print(f"[red]{error}[/red]")
        raise typer.Exit(1) from error


def _choice(window: float, placement: str, vectors: str, since: str = "") -> Any:
    from infra.training import LOGGED, REPLAYED, Choice  # noqa: PLC0415 reason: slow to import, seldom needed

    if vectors not in (LOGGED, REPLAYED):
        raise ValueError(f"--vectors is {LOGGED} or {REPLAYED}")
    return Choice(int(window * HOUR_MS), placement, vectors, _moment(since))


def _moment(since: str) -> int:
    try:
        return parse_time(since or None) or 0
    except Rejected as error:
        raise ValueError("--since is a day or a moment, for example 2026-01-31 or 2026-01-31T12:00:00Z") from error


def _newest(settings: Settings, version: str) -> str:
    if version:
        return version
    cards = ModelStore(settings.models_dir).cards()
    if not cards:
        raise ValueError("there is no model yet; run `rapport train` first")
    return str(cards[0]["version"])


def models() -> None:
    """List models, newest first; the champion is marked."""
    store = ModelStore(Settings().models_dir)
    champion = store.champion()
    table = Table("", "version", "examples", "AUC", "calibration error", "SNIPS")
    for card in store.cards():
        metrics, value = card["metrics"], card["policy"].get("snips")
        row = (card["version"], str(sum(card["counts"].values())), f"{metrics.get('auc', float('nan')):.3f}")
        mark = "*" if card["version"] == champion else ""
        table.add_row(mark, *row, f"{metrics['ece']:.4f}", "-" if value is None else f"{value:.4g}")
    console.print(table)


def train(window: Window = 168.0, placement: Placement = "", vectors: Vectors = "logged", since: Since = "") -> None:
    """Learn from the logged decisions whose outcome window has closed; the model waits until it is promoted."""
    from infra.training import train_model  # noqa: PLC0415 reason: slow to import, seldom needed

    with _refusals(), _stages() as progress:
        trained = train_model(Settings(), _choice(window, placement, vectors, since), progress)
    card = trained.card
    console.print(f"[bold]{trained.version}[/bold]: {card.trees} trees on {card.counts['fit']} decisions")
    console.print("  " + ", ".join(f"{name} {value:.4g}" for name, value in card.metrics.items()))
    _say_left_out(card.left_out)
    console.print(f"  card and plots: {Settings().models_dir / trained.version}")


def _say_left_out(counts: Mapping[str, int]) -> None:
    if counts:
        console.print("  left out: " + ", ".join(f"{count} {why}" for why, count in sorted(counts.items())))


@contextmanager
def _stages() -> Any:
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    ) as bar:
        task = bar.add_task("training", total=None)
        update: Callable[[str, int, int], None] = lambda stage, done, of: bar.update(  # noqa: E731
            task, description=stage, completed=done, total=of
        )
        yield update


def evaluate(version: Version = "", placement: Judged = "") -> None:
    """Compare a version with the champion on decisions it did not learn from, and say what the gate would say."""
    from infra.judging import judge  # noqa: PLC0415 reason: slow to import, seldom needed

    settings = Settings()
    with _refusals(), console.status("reading the archive"):
        named = _newest(settings, version)
        comparison, verdict = judge(settings, named, placement=placement)
    _show(named, comparison, verdict)


def _show(version: str, comparison: Comparison, verdict: Verdict) -> None:
    level = f"{100 * comparison.difference.level:.4g} % interval"
    table = Table("policy", "SNIPS", level, "IPS", "ESS", title=f"{version} against the champion")
    for name, found in (("challenger", comparison.challenger), ("champion", comparison.champion)):
        table.add_row(name, *_numbers(found))
    gap = comparison.difference
    table.add_row("difference", f"{gap.value:+.4g}", f"{gap.low:+.4g} to {gap.high:+.4g}", "", "")
    if comparison.doubly_robust is not None:
        other = comparison.doubly_robust
        table.add_row("doubly robust", f"{other.value:+.4g}", f"{other.low:+.4g} to {other.high:+.4g}", "", "")
    for one in comparison.slices:
        among = one.difference
        said = (f"{among.value:+.4g}", f"{among.low:+.4g} to {among.high:+.4g}", "", f"{one.ess:.0f}")
        table.add_row(f"{one.by} {one.name}", *said)
    console.print(table)
    console.print(f"[dim]Clipped weights take {comparison.clip_bias:.4g} off the challenger's IPS.[/dim]")
    console.print(("[green]" if verdict.promote else "[yellow]") + verdict.text)
    console.print(f"[dim]{NOT_PROVEN}[/dim]")


def _numbers(found: Estimate) -> tuple[str, str, str, str]:
    interval = f"{found.interval.low:.4g} to {found.interval.high:.4g}"
    return f"{found.snips:.4g}", interval, f"{found.ips:.4g}", f"{found.ess:.0f}"


def promote(
    version: Version = "",
    placement: Judged = "",
    force: Annotated[str, typer.Option(help="Promote against the gate, for this reason (in the audit trail).")] = "",
    approver: Annotated[str, typer.Option(help="Who answers for promoting against the gate.")] = "",
) -> None:
    """Let a version serve if the gate says it is better; every API process follows within two seconds."""
    from infra.judging import Force, promote_now  # noqa: PLC0415 reason: slow to import, seldom needed

    settings = Settings()
    with _refusals(), console.status("judging"):
        overruled = Force(force, approver) if force or approver else None
        found = promote_now(settings, _newest(settings, version), overruled, placement)
    console.print(("[green]" if found["promoted"] else "[yellow]") + found["text"])
    if not found["promoted"]:
        raise typer.Exit(2)
    console.print(f"[bold]{found['version']}[/bold] serves now.")


def rollback() -> None:
    """Serve again what served before the champion."""
    from infra.training import roll_back  # noqa: PLC0415 reason: slow to import, seldom needed

    with _refusals():
        served = roll_back(Settings())
    console.print(f"[bold]{served or 'the assumed rates'}[/bold] serves now.")


def dataset(
    out: Annotated[Path, typer.Option(help="Parquet file of decisions with vectors and rewards.")] = Path(
        "dataset.parquet"
    ),
    features: Annotated[
        bool, typer.Option("--features/--decisions", help="Refold the archive into Feast's offline rows.")
    ] = False,
    window: Window = 168.0,
    placement: Placement = "",
    vectors: Vectors = "logged",
) -> None:
    """Write the training set to a file, or rebuild Feast's offline store from the archive. People who refuse model
    training by now, or whose data is restricted, are in neither; how many is said."""
    from infra.offline import Terms, build_offline  # noqa: PLC0415 reason: slow to import, seldom needed
    from infra.training import export_dataset, held_now  # noqa: PLC0415 reason: slow to import, seldom needed

    with _refusals():
        settings = Settings()
        if features:
            configuration = load(settings.config_dir)
            rules, catalogue = Rules(identity=configuration.identity), configuration.catalogue
            terms = Terms(rules, configuration.purposes, catalogue.actions, held=held_now(settings))
            with _stages() as progress:
                made = build_offline(settings, terms, lambda done, of: progress("refolding the archive", done, of))
            console.print(
                f"{made.profile_rows} profile rows and {made.cross_rows} cross rows from {made.events} events."
            )
            _say_left_out({"people who refuse model training or whose data is restricted": made.left_out})
            return
        exported = export_dataset(settings, out, _choice(window, placement, vectors))
    console.print(f"{len(exported)} decisions in {out}")
    _say_left_out(exported.left_out)
