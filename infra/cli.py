"""The command line: `rapport up` and everything an operator does beside it. Parses, calls, prints; knows no rule."""

import asyncio
import shlex
import sys
import webbrowser
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from engine.catalog import FITTING, Action, Catalogue
from engine.ports import ApiKey, Unavailable
from infra.cli_bench import register as register_bench
from infra.cli_decisions import register as register_decisions
from infra.cli_erase import register as register_erase
from infra.cli_experiments import register as register_experiments
from infra.cli_models import register
from infra.cli_replay import register as register_replay
from infra.cli_watch import register as register_watch
from infra.clock import now_ms
from infra.config import load
from infra.doctor import examine
from infra.kafka_log import describe_topics
from infra.ledger_store import ROLES, KeyNameTaken, SqlKeys, new_secret
from infra.processes import ServerFailed
from infra.rejects import AT_THE_DOOR, list_rejects, resend
from infra.settings import Settings
from infra.up import Running, first_keys, run_until_signal, with_servers
from infra.wiring import open_keys
from infra.yaml_source import InvalidConfiguration

app = typer.Typer(
    help="Rapport: real-time customer profiles and next-best actions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
keys_app = typer.Typer(help="API keys: list, add, revoke.", no_args_is_help=True)
rejects_app = typer.Typer(help="Events that could not be applied: list, resend.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(rejects_app, name="rejects")
register(app)
register_bench(app)
register_erase(app)
register_replay(app)
register_decisions(app)
register_experiments(app)
register_watch(app)
console = Console()


def _settings() -> Settings:
    return with_servers(Settings())


def _fail(message: str) -> typer.Exit:
    Console(stderr=True).print(f"[red]{message}[/red]")
    return typer.Exit(1)


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="HTTP port (RAPPORT_PORT).")] = None,
) -> None:
    """Run everything on this machine: broker, Redis, worker, archiver and API. Ctrl-C drains and stops."""
    settings = Settings() if port is None else Settings(port=port)
    try:
        # keys are made when all is up: made before a start that fails, nobody would ever have seen them
        code = asyncio.run(
            run_until_signal(settings, console, lambda running: _announce(running, first_keys(settings)))
        )
    except (ServerFailed, Unavailable, InvalidConfiguration) as error:
        raise _fail(str(error)) from error
    raise typer.Exit(code)


def _announce(running: Running, made: dict[str, str]) -> None:
    settings = running.settings
    base = f"http://{settings.host}:{settings.port}"
    lines = [
        f"API       {base}/docs",
        f"Desk      {base}/desk",
        f"Console   {base}/console",
        f"Data      {settings.data_dir}",
    ]
    if made:
        lines += ["", "Keys, shown this once (make others with `rapport keys add`):"]
        lines += [f"  {name:<12} {secret}" for name, secret in made.items()]
    embedded = [s.name for s in running.servers]
    if "broker" in embedded:
        # in lines that fit a terminal of 80 columns, frame and all
        lines += ["", "The broker is the embedded one: events accepted but not yet applied"]
        lines += ["(under a second's worth) are lost if this machine or the broker process"]
        lines += ["dies. Set RAPPORT_KAFKA_URL for a real Kafka."]
    console.print(Panel("\n".join(lines), title="Rapport is ready", border_style="green", expand=False))
    # as it was called: what `make` installs is on no PATH
    again = f"Try it: [bold]{escape(shlex.quote(sys.argv[0]))} demo[/bold] in another terminal. Ctrl-C stops."
    console.print(again, soft_wrap=True, highlight=False)


@app.command()
def demo(
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the simulator's decisions.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the simulator.")] = 7,
    browser: Annotated[bool, typer.Option(help="Open the report when done.")] = False,
) -> None:
    """Replay real purchases, import a real bandit log, run the contact-centre simulator; ends with a report."""
    from infra.demo.client import DemoFailed  # noqa: PLC0415 reason: as the next line
    from infra.demo.run import DemoOptions, run_demo  # noqa: PLC0415 reason: slow to import, seldom needed

    settings = _settings()
    admin, write = _demo_keys(settings)
    options = DemoOptions(base_url=f"http://{settings.host}:{settings.port}", admin_key=admin, write_key=write)
    try:
        report = run_demo(settings, options.with_size(quick=quick, seed=seed), console)
    except DemoFailed as error:
        raise _fail(str(error)) from error
    console.print(f"Report: [bold]{report}[/bold]")
    if browser:
        webbrowser.open(report.as_uri())


def _demo_keys(settings: Settings) -> tuple[str, str]:
    keys = open_keys(settings)
    made = []
    for name, role in (("demo-admin", "admin"), ("demo-writer", "write")):
        secret = new_secret(role)
        keys.ensure(ApiKey(name, role, source="demo" if role == "write" else ""), secret)
        made.append(secret)
    return made[0], made[1]


@app.command()
def doctor() -> None:
    """Look at every part of the installation and say what is wrong and what to try."""
    settings = _settings()
    with console.status("looking") as status:
        findings = asyncio.run(examine(settings, lambda what: status.update(f"looking at {what}")))
    for finding in findings:
        well = "[yellow]mind[/yellow]" if finding.warning else "[green]ok[/green]"
        mark = well if finding.ok else "[red]no[/red]"
        console.print(f"{mark:>4}  {finding.name:<16} {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command()
def topics() -> None:
    """List our topics with partitions and how far the worker has applied them."""
    settings = _settings()
    if not settings.kafka_url:
        raise _fail("No broker: start `rapport up`, or set RAPPORT_KAFKA_URL.")
    table = Table("topic", "partitions", "records")
    for name, partitions, records in asyncio.run(describe_topics(settings.kafka_url, settings.prefix)):
        table.add_row(name, str(partitions), str(records))
    console.print(table)


@app.command()
def catalog() -> None:
    """Validate the configuration directory and show its actions."""
    settings = Settings()
    try:
        configuration = load(settings.config_dir)
    except InvalidConfiguration as error:
        raise _fail(str(error)) from error
    console.print(_actions(configuration.catalogue))


def _actions(catalogue: Catalogue) -> Table:
    table = Table("action", "category", "purpose", "placements", "value", "prior", "rules")
    for action in catalogue.actions.values():
        value, prior = f"{action.value:g}", f"{action.prior_rate:.0%}"
        places = " ".join(action.placements)
        table.add_row(action.id, action.category, action.purpose, places, value, prior, _rules(action))
    return table


def _rules(action: Action) -> str:
    """What must hold beside consent and contact policy, each named."""
    named = (("when", action.when), *((name, getattr(action, name)) for name in FITTING))
    said = [f"{name}: {source}" for name, source in named if source.strip() != "true"]
    return "\n".join([*said, *(["only through a person"] if action.needs_human else [])])


@keys_app.command("list")
def keys_list() -> None:
    """Show every key (never its secret)."""
    table = Table("name", "role", "purposes", "source", "revoked")
    for key, _, revoked in open_keys(_settings()).listed():
        table.add_row(key.name, key.role, " ".join(key.purposes), key.source, "yes" if revoked else "")
    console.print(table)


@keys_app.command("add")
def keys_add(
    name: str,
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")],
    purposes: Annotated[str, typer.Option(help="Comma-separated purposes this key may read for.")] = "",
    source: Annotated[str, typer.Option(help="For a write key: the source it writes as (sources.yaml).")] = "",
) -> None:
    """Make a key and print its secret once."""
    if role not in ROLES:
        raise _fail(f"Unknown role {role}; use one of {', '.join(ROLES)}.")
    keys: SqlKeys = open_keys(_settings())
    secret = new_secret(role)
    wanted = tuple(p.strip() for p in purposes.split(",") if p.strip())
    try:
        keys.add(ApiKey(name, role, wanted, source or (name if role == "write" else "")), secret)
    except KeyNameTaken as error:
        raise _fail(str(error)) from error
    keys.note("cli", "key added", f"{name} ({role})")
    console.print(f"{name}: [bold]{secret}[/bold]  (shown this once)")


@keys_app.command("revoke")
def keys_revoke(name: str) -> None:
    """End a key; takes effect within a second."""
    keys = open_keys(_settings())
    if not keys.revoke(name):
        raise _fail(f"There is no live key named {name}.")
    keys.note("cli", "key revoked", name)
    console.print(f"{name} is revoked.")


@rejects_app.command("list")
def rejects_list(limit: Annotated[int, typer.Option(help="How many of the newest.")] = 50) -> None:
    """Show rejected events: position, code, reason. Never their content."""
    table = Table("number", "topic position", "code", "reason")
    for number, reject in asyncio.run(list_rejects(_with_broker(), limit)):
        position = reject.position
        place = "HTTP" if position == AT_THE_DOOR else f"{position.partition}:{position.offset}[{reject.index}]"
        table.add_row(str(number), place, reject.code, reject.message)
    console.print(table)


@rejects_app.command("resend")
def rejects_resend(number: Annotated[int, typer.Argument(help="The number `list` shows.")]) -> None:
    """Send a rejected event again the way it came (after the reason is mended)."""
    sent = asyncio.run(resend(_with_broker(), number, now_ms))
    if not sent:
        raise _fail(f"There is no reject {number}, or what it held was erased or is older than 30 days.")
    console.print("Sent again.")


def _with_broker() -> Settings:
    settings = _settings()
    if not settings.kafka_url:
        raise _fail("No broker: start `rapport up`, or set RAPPORT_KAFKA_URL.")
    return settings


def main() -> None:
    app()


if __name__ == "__main__":
    main()
