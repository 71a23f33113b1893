"""`rapport experiments`: what is being tried and what it found. Parses, calls, prints."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from engine.ports import Unavailable
from infra.clock import now_ms
from infra.settings import Settings
from infra.up import with_servers
from infra.yaml_source import InvalidConfiguration
from models.trial import Found, Scope

console = Console()
HOUR_MS = 3_600_000
Window = Annotated[float, typer.Option("--window", help="Outcome window in hours; younger decisions do not count.")]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(experiments)


def experiments(window: Window = 168.0) -> None:
    """Measure the control group and every experiment over the archive; intervals may be looked at any time."""
    from infra.experiments import measure  # noqa: PLC0415 reason: slow to import, seldom needed

    try:
        with console.status("reading the archive"):
            found = asyncio.run(measure(with_servers(Settings()), Scope(now_ms(), int(window * HOUR_MS))))
    except (Unavailable, InvalidConfiguration, OSError) as error:
        Console(stderr=True).print(f"[red]{error}[/red]")
        raise typer.Exit(1) from error
    if not found.experiments:
        console.print("Nothing is being tried; experiments.yaml says what is.")
    for one in found.experiments:
        console.print(_table(one))
        console.print(f"  {one.text}")
        outside = ", ".join(f"{count} {why}" for why, count in one.outside.items()) or "nobody"
        console.print(f"  crossed arms: {one.crossed}; wait for their horizon: {one.waiting}; outside: {outside}")


def _table(found: Found) -> Table:
    table = Table("arm", "share", "dealt", "judged", "responses", "effect", "interval", "", title=found.title)
    for arm in found.arms:
        known = arm.effect is not None and arm.low is not None and arm.high is not None
        table.add_row(
            f"{arm.arm}{' (baseline)' if arm.arm == found.baseline else ''}",
            f"{arm.share:.1%}",
            str(arm.dealt),
            str(arm.judged),
            "-" if arm.mean is None else f"{arm.mean:.4f}",
            f"{arm.effect:+.4f}" if known else "-",
            f"[{arm.low:+.4f}, {arm.high:+.4f}]" if known else "-",
            arm.verdict,
        )
    return table
