"""`rapport watch`: what became of the decisions, on the console and in figures. Parses, calls, prints."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from infra.clock import now_ms
from infra.settings import Settings

console = Console()
HOUR_MS = 3_600_000
MOST_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(watch)


def watch(
    days: Annotated[float, typer.Option(help="Decisions of how many days.")] = 30.0,
    window: Annotated[
        float | None, typer.Option(help="Outcome window in hours; default: the champion's, else a week.")
    ] = None,
) -> None:
    """Measure drift, calibration, response by action, exploration and open outcomes; the console page shows it too."""
    from infra.archive import ARCHIVE_FAILURES  # noqa: PLC0415 reason: slow to import, seldom needed
    from infra.watching import Asked  # noqa: PLC0415 reason: as the line before
    from infra.watching import watch as look  # noqa: PLC0415 reason: as the line before

    try:
        with console.status("reading the archive"):
            found = look(Settings(), now_ms(), Asked(days, None if window is None else int(window * HOUR_MS)))
    except ARCHIVE_FAILURES as error:
        Console(stderr=True).print(
            f"[red]the archive cannot be read ({type(error).__name__}); try rapport doctor[/red]"
        )
        raise typer.Exit(1) from error
    if not found.decisions:
        console.print("No decision in that time may be looked at.")
    for table in (_drift(found), _responses(found)) if found.decisions else ():
        console.print(table)
    for sentence in found.alarms:
        console.print(f"[red]{sentence}[/red]", soft_wrap=True)
    if found.decisions and not found.alarms:
        console.print("[green]Nothing to worry about.[/green]")


def _drift(found: Any) -> Table:
    against = f"against the {found.against}" if found.against else "too few rows"
    table = Table("column", "PSI", "by chance", "", title=f"Drift, {against} ({found.reference_rows} rows)")
    for one in (found.score, *found.drift[:MOST_SHOWN]):
        index = "-" if one.latest is None else f"{one.latest:.3f}"
        table.add_row(one.name, index, f"{one.chance:.3f}", one.verdict)
    return table


def _responses(found: Any) -> Table:
    explored = f"{found.exploration:.1%} explored, {found.open} open"
    table = Table(
        "action", "in slates", "judged", "expected", "observed", "interval",
        title=f"{found.decisions} decisions, {explored}",
    )  # fmt: skip
    for one in found.actions:
        known = one.observed is not None
        figures = (f"{one.expected:.1%}", f"{one.observed:.1%}", f"{one.low:.1%} to {one.high:.1%}") if known else ()
        table.add_row(one.action_id, str(one.slates), str(one.judged), *(figures or ("-", "-", "-")))
    return table
