"""`rapport erase`: erases a person from the command line, and shows the certificate. Parses, calls, prints; never the
reference it was given."""

import asyncio
import secrets
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from engine.decision_id import ulid
from engine.erasure import forget_event
from engine.erasure_job import COMPLETED, MARGIN_MS, REASONS, Job
from engine.errors import InvalidReference
from engine.identifiers import parse_reference
from engine.ports import Unavailable
from infra.clock import now_ms
from infra.config import load
from infra.erasure_process import open_erasures
from infra.kafka_log import KafkaLog
from infra.settings import Settings
from infra.up import with_servers

console = Console()
PAUSE_SECONDS = 0.5


class NotErased(Exception):
    """What was asked for cannot be done; the text says why."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(erase)


def erase(
    reference: Annotated[str, typer.Argument(help="type:value, or profile_id:…; an erasure's id with --show.")],
    reason: Annotated[str, typer.Option(help=f"One of {', '.join(REASONS)}.")] = REASONS[0],
    wait: Annotated[float, typer.Option(help="Seconds to wait for the certificate; 0 returns at once.")] = 60.0,
    show: Annotated[bool, typer.Option("--show", help="Show an erasure that was asked for before.")] = False,
) -> None:
    """Erase a person everywhere: everything dated before now, under every identifier. Needs a running `rapport up`."""
    settings = with_servers(Settings())
    try:
        job = asyncio.run(_known(settings, reference) if show else _asked(settings, reference, reason))
        job = asyncio.run(_waited(settings, job, 0 if show else wait))
    except (NotErased, InvalidReference, Unavailable) as error:
        Console(stderr=True).print(f"[red]{error}[/red]")
        raise typer.Exit(1) from error
    _print(job)
    if job.status != COMPLETED:
        console.print(f"Look again with: rapport erase --show {job.id}")


async def _known(settings: Settings, job_id: str) -> Job:
    job = await open_erasures(settings).find(job_id)
    if job is None:
        raise NotErased("There is no erasure of this id.")
    return job


async def _asked(settings: Settings, reference: str, reason: str) -> Job:
    if reason not in REASONS:
        raise NotErased(f"The reason is one of {', '.join(REASONS)}.")
    if not settings.kafka_url:
        raise NotErased("No broker: start `rapport up`, or set RAPPORT_KAFKA_URL.")
    named = parse_reference(settings.key(), load(settings.config_dir).identity, reference)
    now, jobs = now_ms(), open_erasures(settings)
    job = Job(ulid(now, secrets.token_bytes(10)), named.id, named.type, "cli", reason, now, now + MARGIN_MS)
    await jobs.save(job)
    log = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, now_ms)
    try:
        await log.start()
        await log.append_now(forget_event((named.id, named.type), job.id, now, job.before))
    except Unavailable:
        await jobs.drop(job.id)
        raise
    finally:
        await log.stop()
    return job


async def _waited(settings: Settings, job: Job, seconds: float) -> Job:
    jobs, left = open_erasures(settings), seconds
    with console.status("erasing"):
        while job.status != COMPLETED and left > 0:
            await asyncio.sleep(PAUSE_SECONDS)
            left -= PAUSE_SECONDS
            job = await jobs.find(job.id) or job
    return job


def _print(job: Job) -> None:
    table = Table("store", "rows removed", "note", title=f"{job.id}: {job.status}, {len(job.identifiers)} identifiers")
    for one in job.stores:
        table.add_row(one.store, str(one.rows), one.note)
    console.print(table)
    for end in job.log:
        console.print(f"topic {end.topic}: {end.note}" + (f", until {end.at} ms" if end.at is not None else ""))
    for model in job.models:
        console.print(f"model {model.version} may have learned from {model.decisions} of the person's decisions")
