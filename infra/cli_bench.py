"""`rapport bench`: measures throughput and latency, each figure beside its floor. Parses, calls, prints."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.processes import ServerFailed

console = Console()


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(bench)


def bench(
    only: Annotated[str, typer.Option(help="Which, separated by commas: stream,ingest,freshness,decisions,…")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the load: shows that it works, no more.")] = False,
    kafka: Annotated[str, typer.Option(help="host:port of a broker that runs already, instead of embedded.")] = "",
    redis: Annotated[str, typer.Option(help="URL of an empty Redis database, instead of the embedded one.")] = "",
    out: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = Path("bench.json"),
) -> None:
    """Measure this machine: stream, ingest, freshness, decisions, bulk and features, each beside its floor."""
    # reason: the benches import training and stream libraries that no other command needs
    from infra.bench.bed import NotEmpty, Place  # noqa: PLC0415 reason: slow to import, seldom needed
    from infra.bench.figures import described, remarks, table  # noqa: PLC0415 reason: slow to import, seldom needed
    from infra.bench.run import UnknownBench, chosen, run, written  # noqa: PLC0415 reason: slow to import, seldom needed

    try:
        names = chosen(only)
        url = f"kafka://{kafka.removeprefix('kafka://')}" if kafka else ""
        with console.status("starting") as status:
            found = run(names, Place(url, redis, quick), status.update)
    except (UnknownBench, NotEmpty, ServerFailed, RuntimeError) as error:
        Console(stderr=True).print(f"[red]{error}[/red]")
        raise typer.Exit(1) from error
    written(found, out)
    console.print(table(found["rows"]))
    for remark in remarks(found["rows"]):
        console.print(f"[dim]{remark}[/dim]")
    console.print(described(found["machine"]))
    console.print(f"Figures: [bold]{out}[/bold]")
