"""Commands about past decisions. Parses, calls, prints; compares nothing."""

import asyncio
import json
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from infra.clock import now_ms
from infra.settings import Settings
from infra.up import with_servers

console = Console()
DIFFERENT, NOT_REPLAYABLE = 1, 2


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("replay-decision")(replay_decision)
    app.command()(parity)


def replay_decision(
    decision: Annotated[str, typer.Argument(help="A decision id, as POST /v1/decisions gave it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make one past decision again from its record and compare: exit code 0 identical, 1 different, 2 impossible."""
    # reason: models take a second to import
    from infra.replaying import replay_decision as replayed_by_id  # noqa: PLC0415 reason: slow to import, seldom needed
    from models.replay import NotReplayable  # noqa: PLC0415 reason: as the line before

    try:
        replayed = asyncio.run(replayed_by_id(with_servers(Settings()), decision))
    except NotReplayable as error:
        Console(stderr=True).print(f"[red]{error}[/red]")
        raise typer.Exit(NOT_REPLAYABLE) from error
    found = replayed.difference
    if as_json:
        told = {} if found is None else {"difference": msgspec.to_builtins(found)}
        typer.echo(json.dumps({"identical": replayed.identical, "decision": decision, **told}))
    else:
        console.print("[green]identical[/green]" if replayed.identical else "[red]different[/red]")
        for line in () if found is None else found.details:
            console.print(f"  {line}")
    if not replayed.identical:
        raise typer.Exit(DIFFERENT)


def parity(
    count: Annotated[int, typer.Option(help="How many logged decisions to refold.")] = 1000,
    seed: Annotated[str, typer.Option(help="Another seed draws other decisions.")] = "",
) -> None:
    """Refold a sample of decisions from the archive and compare every feature with what was used: exit code 1 where
    more than the allowed share differs. Promotion looks at the same figures."""
    from infra.parity import Sample, measure  # noqa: PLC0415 reason: slow to import, seldom needed
    from models.parity import THRESHOLD  # noqa: PLC0415 reason: as the line before

    with Progress(console=console) as bar:
        task = bar.add_task("refolding", total=None)
        found = measure(
            Settings(), now_ms(), Sample(count, seed=seed), lambda a, b: bar.update(task, completed=a, total=b)
        )
    console.print(f"{found.decisions} decisions refolded.")
    for reason, left in found.left_out.items():
        console.print(f"  {left} left out: {reason}")
    for name, ratio in found.above(0.0).items():
        rate = found.features[name]
        console.print(
            f"  [red]{name}[/red]: {rate.mismatched} of {rate.compared} differ ({ratio:.2%}), as in {rate.examples[0]}"
        )
    if not found.above(0.0):
        console.print("[green]Every value equal.[/green]")
    if found.above(THRESHOLD):
        raise typer.Exit(DIFFERENT)
