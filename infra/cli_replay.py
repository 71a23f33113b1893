"""`rapport replay`: folds the archive again and says whether Redis serves exactly that; on demand writes it elsewhere
or puts it in place. Parses, calls, prints."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from engine.ports import Unavailable
from infra.archive import ARCHIVE_FAILURES
from infra.collector import look_seldom
from infra.rebuild import ArchiveLacks
from infra.rebuild_finish import StillWorking
from infra.rebuild_run import Asked, Replayed, replay_now
from infra.rebuild_switch import NotEmpty
from infra.redis_store import FAILURES
from infra.settings import Settings
from infra.up import with_servers
from infra.yaml_source import InvalidConfiguration

console = Console()


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(replay)


def replay(
    partition: Annotated[list[int] | None, typer.Option(help="Only this partition; may be given again.")] = None,
    into: Annotated[str, typer.Option(help="URL of an empty Redis to write the rebuilt state into.")] = "",
    switch: Annotated[bool, typer.Option("--switch", help="Put what was rebuilt in place where it differs.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Bring the Redis of --into up to the live one.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where the report goes as JSON.")] = None,
) -> None:
    """Fold the archive again and compare it with what Redis serves; ends with 1 where they differ."""
    found = _replayed(with_servers(Settings()), Asked(tuple(partition or ()), into, switch, finish))
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    _show(found)
    if not found.equal:
        raise typer.Exit(1)


def _replayed(settings: Settings, asked: Asked) -> Replayed:
    look_seldom()
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("events", total=None)
            return asyncio.run(replay_now(settings, asked, time.perf_counter, lambda n, of: _move(bar, task, (n, of))))
    except (ArchiveLacks, NotEmpty, StillWorking, Unavailable, InvalidConfiguration, ValueError) as error:
        message = str(error)
    except (*FAILURES, *ARCHIVE_FAILURES) as error:
        message = f"a server or the archive does not answer ({type(error).__name__}); `rapport doctor` says which"
    Console(stderr=True).print(f"[red]{message}[/red]", soft_wrap=True)
    raise typer.Exit(1)


def _move(bar: Progress, task: Any, done: tuple[int, int]) -> None:
    bar.update(task, completed=done[0], total=done[1])


def _show(found: Replayed) -> None:
    table = Table("partition", "watermark", "events", "fragments", "archive folds to", "Redis serves", "")
    for one in found.partitions:
        state = "equal" if one.equal else f"{one.differing} differ, {len(one.unsettled)} unsettled"
        figures = (str(one.partition), one.watermark, f"{one.events:,}", f"{one.fragments:,}")
        table.add_row(*figures, one.rebuilt, one.live, state, style="" if one.equal else "red")
    people = found.people
    if people is not None:
        state = "equal" if people.equal else f"{people.differing} ids differ"
        figures = ("persons", "", f"{people.claims:,} claims", f"{people.persons:,}")
        table.add_row(*figures, people.rebuilt, people.live, state, style="" if people.equal else "red")
    if table.row_count:
        console.print(table)
    for name, ids in found.named():
        console.print(f"[red]{name}[/red] {' '.join(ids)}", soft_wrap=True)
    if found.written is not None:
        written = found.written
        console.print(f"Written: {written.fragments:,} fragments and {written.persons:,} persons, {written.upto}.")
    if found.replaced:
        console.print(f"Replaced: {found.replaced:,} fragments; their feature rows and queues follow.")
    console.print(f"{found.events:,} events in {found.seconds:.1f} s: {found.events_per_second:,.0f} events/s")
