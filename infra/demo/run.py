"""`rapport demo`: real purchases, a real bandit log and the simulator, one after the other against the running system,
ending in a report. Puts the parts together and shows progress; each part knows its own business."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.archive import read_events
from infra.clock import now_ms
from infra.config import Configuration, load
from infra.demo.cdnow import Replayed, replay
from infra.demo.client import Client, DemoFailed
from infra.demo.closed_loop import DESKTOP, PILOT, Advance, Offered, Plan, run
from infra.demo.desk import HttpDesk
from infra.demo.open_bandit import POLICIES, Golden, Round, agrees, golden, import_rounds, is_complete, rounds
from infra.demo.page import Report, Simulated, bandit_rows, write
from infra.demo.simulator_card import card
from infra.demo.truth import BY_REASON
from infra.kafka_log import KafkaLog
from infra.settings import Settings

IMPORTED = ("decision", "outcome")
IMPORTED_WITHIN_S = 180.0
QUICK = Plan(0, 2000, 1000, ((0, 1.0), (1600, 0.0)), (1600,), 1600)
PARTS = ("cdnow", "open-bandit", "simulator")


class DemoOptions(msgspec.Struct, frozen=True):
    """Where the system is, with which keys, which parts to run and how the simulator goes."""

    base_url: str
    admin_key: str
    write_key: str
    plan: Plan = Plan(7)
    parts: tuple[str, ...] = PARTS

    def with_size(self, *, quick: bool, seed: int) -> "DemoOptions":
        """The same with another seed, and with a tenth of the simulator's decisions when quick."""
        plan = msgspec.structs.replace(QUICK if quick else Plan(seed), seed=seed)
        return msgspec.structs.replace(self, plan=plan)


@contextmanager
def _bars(console: Console) -> Iterator[Advance]:
    """A progress bar per named step; a step appears when it first advances."""
    columns = (TextColumn("  {task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        tasks = {name: progress.add_task(name, total=None, visible=False, start=False) for name in _STEPS}

        def advance(name: str, done: int, of: int) -> None:
            task = tasks[name]
            if not progress.tasks[task].started:
                progress.start_task(task)
            progress.update(task, completed=done, total=of, visible=True)

        yield advance


_STEPS = ("purchases sent", "profiles compared", "rounds imported", "rounds archived", "customers", "decisions")


def run_demo(settings: Settings, options: DemoOptions, console: Console) -> Path:
    """Run the parts and write the report; returns its path. Raises `DemoFailed` with what to try, or, when the report
    is written, with what is not as it should be."""
    client = Client(options.base_url, options.admin_key, options.write_key)
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    report = Report(made=made, base_url=options.base_url)
    try:
        if "cdnow" in options.parts:
            report = msgspec.structs.replace(report, cdnow=_purchases(client, console))
        if "open-bandit" in options.parts:
            report = msgspec.structs.replace(report, bandit=_bandit(settings, console))
        if "simulator" in options.parts:
            report = msgspec.structs.replace(report, simulated=_simulator(client, settings, options.plan, console))
    finally:
        client.close()
    page = write(report, settings.data_dir / "demo")
    if report.problems:
        raise DemoFailed(f"{'; '.join(report.problems)} (report: {page})")
    return page


def _verdict(console: Console, right: bool, text: str) -> None:  # noqa: FBT001 - a mark, not a behaviour
    console.print(f"  [{'green' if right else 'red'}]{'✓' if right else '✗'}[/] {text}")


def _purchases(client: Client, console: Console) -> Replayed:
    console.print("[bold]1. Real purchases[/bold] (CDNOW sample)")
    with _bars(console) as advance:
        found = replay(client, now_ms, advance)
    wrong = len(found.differences)
    said = f"{len(found.compared):,} profiles against pandas: count, sum and last purchase"
    _verdict(console, not wrong, f"{said} {'all equal' if not wrong else f'differ in {wrong}'}")
    console.print(f"    {found.events:,} purchases, USD {found.revenue / 100:,.2f}, sent in {found.seconds:.1f} s")
    return found


async def _import(settings: Settings, made: list[Round], advance: Callable[[int], None]) -> None:
    log = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, now_ms, settings.linger_ms)
    await log.start()
    try:
        for start in range(0, len(made), 500):
            await import_rounds(log, made[start : start + 500], settings.key())
            advance(min(start + 500, len(made)))
    finally:
        await log.stop()


def _wait_for_import(settings: Settings, count: int) -> Golden:
    deadline = time.monotonic() + IMPORTED_WITHIN_S
    while not is_complete(read_events(settings.archive, IMPORTED), count):
        if time.monotonic() > deadline:
            raise DemoFailed("the imported rounds do not reach the archive; look at `rapport doctor`")
        time.sleep(1.0)
    return golden(read_events(settings.archive, IMPORTED))


def _bandit(settings: Settings, console: Console) -> Golden:
    console.print("[bold]2. A real bandit log[/bold] (Open Bandit Dataset, campaign men)")
    if not settings.kafka_url:
        raise DemoFailed("there is no broker; start `rapport up` with the same data directory first")
    made = [one for policy in POLICIES for one in rounds(policy)]
    with _bars(console) as advance:
        if not is_complete(read_events(settings.archive, IMPORTED), len(made)):
            asyncio.run(_import(settings, made, lambda done: advance("rounds imported", done, len(made))))
        advance("rounds archived", 0, len(made))
        found = _wait_for_import(settings, len(made))
        advance("rounds archived", found.rounds, len(made))
    _verdict(console, agrees(found), "off-policy values from the archive, beside the reference")
    for name, ours, reference in bandit_rows(found):
        console.print(f"    {ours:>8} (reference {reference:>7})  {name}", highlight=False)
    return found


def offered_in(configuration: Configuration) -> Offered:
    """What a configuration offers at the desk. Raises `DemoFailed` where the simulator does not know it."""
    placements = configuration.catalogue.placements
    if not {DESKTOP, PILOT} <= set(placements):
        raise DemoFailed(f"the simulator needs the placements {DESKTOP} and {PILOT}; use the demo configuration")
    actions = configuration.catalogue.placed(DESKTOP)
    unknown = [action.id for action in actions if action.id not in BY_REASON]
    if unknown:
        raise DemoFailed(f"the simulator knows no answer to {', '.join(unknown)}; use the demo configuration")
    return Offered(tuple(a.id for a in actions), tuple(a.value * a.lever for a in actions))


def _simulator(client: Client, settings: Settings, plan: Plan, console: Console) -> Simulated:
    console.print("[bold]3. The loop closes[/bold] (contact-centre SIMULATOR: invented customers)")
    configuration = load(settings.config_dir)
    offered = offered_in(configuration)
    with console.status("the simulator's card"):
        hardness = card(plan.seed, configuration, now_ms())
    console.print("  " + "\n  ".join(hardness.lines()), highlight=False)
    # every run has customers of its own: those of an earlier one have already answered
    own = msgspec.structs.replace(plan, prefix=f"sim{now_ms() // 1000:x}")
    desk = HttpDesk(client, settings)
    with _bars(console) as advance:
        curve = run(own, offered, desk, advance)
    found = Simulated(own, curve, hardness)
    for one in curve.trained:
        verdict = "[green]promoted[/green]" if one.promoted else "[yellow]refused[/yellow]"
        console.print(f"    after {one.decisions:>6,}: {verdict}  {one.text}", highlight=False)
    first, last = plan.judged_from + 1, plan.decisions
    _verdict(
        console,
        found.final >= 80.0 or plan.decisions < Plan(0).decisions,
        f"decisions {first:,} to {last:,}: {found.final:.1f} % of the way from uniform to oracle (simulated)",
    )
    return found
