"""What an operator would look at first, looked at in one go. Knows where things are; mends nothing."""

import asyncio
import functools
import shutil
from collections.abc import Awaitable, Callable

import msgspec

from engine.errors import EngineError
from infra.archive import events_url, open_table
from infra.config import load
from infra.kafka_log import cluster_id
from infra.ledger_store import open_database
from infra.ledger_store_consent import ConsentLedger, open_ledger
from infra.ledger_store_versions import version_of
from infra.redis_store import FAILURES, connect
from infra.redis_store_rules import RulesRecord, rules_now, said, unlike
from infra.redis_store_stream import PartitionStore
from infra.settings import Settings
from infra.yaml_source import InvalidConfiguration

FREE_BYTES = 1 << 30
SECONDS = 10
LEDGER = "consent ledger"


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: whether it is well, and a sentence that says what to try if not. A `warning` is well
    for now."""

    name: str
    ok: bool
    detail: str
    warning: bool = False


class Warned(Exception):
    """Something that works, and that somebody should do something about."""


Looking = Callable[[str], None]


async def examine(settings: Settings, looking: Looking = lambda _what: None) -> list[Finding]:
    """Every check, in the order things depend on each other; `looking` hears what is looked at now."""
    checks: tuple[tuple[str, Callable[[Settings], Awaitable[str]]], ...] = (
        ("configuration", _configuration),
        ("disk", _disk),
        ("database", _database),
        (LEDGER, functools.partial(_ledger, looking=looking)),
        ("redis", _redis),
        ("broker", _broker),
        ("partitions", _partitions),
        ("rules", _rules),
        ("archive", _archive),
    )
    found = []
    for name, check in checks:
        looking(name)
        found.append(await _look(name, check, settings))
    return found


async def _look(name: str, check: Callable[[Settings], Awaitable[str]], settings: Settings) -> Finding:
    try:
        # the ledger is walked to its end, however long it is
        async with asyncio.timeout(None if name == LEDGER else SECONDS):
            return Finding(name, True, await check(settings))
    except Warned as warned:
        return Finding(name, True, str(warned), warning=True)
    except TimeoutError:
        return Finding(name, False, f"no answer within {SECONDS} seconds")
    except (*FAILURES, EngineError, InvalidConfiguration, RuntimeError, ValueError) as error:
        return Finding(name, False, str(error) or type(error).__name__)


async def _configuration(settings: Settings) -> str:
    found = load(settings.config_dir)
    return f"{len(found.catalogue.actions)} actions, {len(found.purposes.purposes)} purposes"


async def _disk(settings: Settings) -> str:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.data_dir).free
    if free < FREE_BYTES:
        raise ValueError(f"only {free >> 20} MiB free where the data directory is; make room")
    return f"{free >> 30} GiB free"


async def _database(settings: Settings) -> str:
    with open_database(settings.database).connect() as connection:
        return f"answers, its tables have version {version_of(connection)}"


async def _ledger(settings: Settings, looking: Looking) -> str:
    ledger = ConsentLedger(open_ledger(settings.database), lambda: 0)
    try:
        found = await asyncio.to_thread(ledger.verify, lambda rows: looking(f"{LEDGER}: {rows:,} rows"))
    finally:
        await ledger.close()
    if found.broken is not None:
        raise ValueError(f"row {found.broken} is broken: {found.problem}; restore the database from a backup of before")
    return f"{found.rows} rows, {found.erased} of them erased, the chain holds"


async def _redis(settings: Settings) -> str:
    redis = connect(_needed(settings.redis_url, "RAPPORT_REDIS_URL"))
    try:
        memory = (await redis.info("memory"))["used_memory_human"]
        policy = (await redis.config_get("maxmemory-policy"))["maxmemory-policy"]
    finally:
        await redis.aclose()
    if policy not in ("noeviction", b"noeviction"):
        raise ValueError("maxmemory-policy evicts keys; set it to noeviction, profiles are not a cache")
    return f"answers, {memory} used"


async def _broker(settings: Settings) -> str:
    return f"answers, cluster {await cluster_id(_needed(settings.kafka_url, 'RAPPORT_KAFKA_URL'))}"


async def _partitions(settings: Settings) -> str:
    redis = connect(_needed(settings.redis_url, "RAPPORT_REDIS_URL"))
    store = PartitionStore(redis)
    try:
        waiting = sum([await store.tail_length(p) for p in range(settings.partitions)])
        marks = [await store.watermark(p) for p in range(settings.partitions)]
    finally:
        await redis.aclose()
    applied = sum(mark.offset + 1 for mark in marks)
    return f"{applied} records applied in this log, {waiting} wait for the archive"


async def _rules(settings: Settings) -> str:
    redis = connect(_needed(settings.redis_url, "RAPPORT_REDIS_URL"))
    try:
        made = await RulesRecord(redis).made()
    finally:
        await redis.aclose()
    others = unlike(made, rules_now(load(settings.config_dir).identity))
    if others:
        raise Warned(said(others))
    return "the state was made with the rules of today" if made else "no state yet"


async def _archive(settings: Settings) -> str:
    table = open_table(events_url(settings.archive))
    return "empty" if table is None else f"version {table.version()}, {len(table.file_uris())} files"


def _needed(url: str, name: str) -> str:
    if not url:
        raise ValueError(f"not running here; start `rapport up` or set {name}")
    return url
