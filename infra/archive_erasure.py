"""The archive as an erasure and an export meet it: looks for a person's rows, streams them, and takes them out of the
tables and off the disk. Rows go when they are dated before the erasure; the erase records themselves stay."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from engine.erasure import ERASE, ERASED, KEPT_KINDS, Forgotten
from engine.events import Event
from engine.identity import Claim
from engine.records import Position
from infra.archive import day_of, decode_claim, decode_event, events_url, links_url, open_table

BATCH = 2_000
_DAY_MS = 86_400_000


class Survey(msgspec.Struct, frozen=True):
    """What the archive holds of a person from before an erasure: events in all, its decisions as id -> ms, outcomes."""

    events: int = 0
    outcomes: int = 0
    decisions: dict[str, int] = {}


def _table(url: str) -> DeltaTable | None:
    return open_table(url)


def _of(homes: Sequence[str]) -> Any:
    return pc.field("home").isin(pa.array(list(homes), pa.string()))


def _mine(one: Forgotten) -> Any:
    """The rows an erasure takes, as `engine.erasure.is_taken` says."""
    return _of(list(one.members)) & (pc.field("at") < one.at) & ~pc.field("kind").isin(list(KEPT_KINDS))


def has_met(archive: str, one: Forgotten) -> bool:
    """Whether the erase record of every member is archived: then so is all that was applied to them before it."""
    table = _table(events_url(archive))
    if table is None:
        return False
    recent = pc.field("day") >= day_of(one.at - _DAY_MS)
    wanted = recent & (pc.field("kind") == ERASE) & _of(list(one.members))
    found = table.to_pyarrow_dataset().to_table(columns=["message_id"], filter=wanted)
    return {f"{ERASE}:{one.job}:{member}" for member in one.members} <= set(found["message_id"].to_pylist())


def survey(archive: str, one: Forgotten) -> Survey:
    """Count what is there to go."""
    table = _table(events_url(archive))
    events, outcomes, decisions = 0, 0, dict[str, int]()
    if table is None:
        return Survey()
    scanner = table.to_pyarrow_dataset().scanner(["kind", "message_id", "at"], filter=_mine(one), batch_size=BATCH)
    for batch in scanner.to_batches():
        events += batch.num_rows
        for kind, named, at in zip(*(batch.column(n).to_pylist() for n in range(3)), strict=True):
            outcomes += kind == "outcome"
            if kind == "decision":
                decisions[named] = at
    return Survey(events, outcomes, decisions)


def drop_events(archive: str, one: Forgotten) -> int:
    """Take the person's rows out and their files off the disk; returns how many rows went."""
    table = _table(events_url(archive))
    if table is None:
        return 0
    mine = _mine(one)
    days = table.to_pyarrow_dataset().to_table(columns=["day"], filter=mine)["day"]
    for day in sorted(days.unique().to_pylist()):
        _rewrite(table, mine, day)
    _clean(table)
    return len(days)


def drop_links(archive: str, one: Forgotten) -> int | None:
    """The same for what links said of the person; None while the verdict itself is not archived."""
    table = _table(links_url(archive))
    if table is None:
        return None
    members = pa.array(sorted(one.members), pa.string())
    touching = pc.field("left").isin(members) | pc.field("right").isin(members)
    claims = table.to_pyarrow_dataset().to_table(columns=["claim"], filter=touching)["claim"]
    said = [(raw, decode_claim(raw)) for raw in claims.to_pylist()]
    if not any(claim.verdict == ERASED and claim.reason == one.job for _, claim in said):
        return None
    gone = [raw for raw, claim in said if claim.verdict != ERASED and claim.at < one.at]
    if gone:
        # equal bytes are an equal claim, which goes wherever it stands
        _rewrite(table, touching & pc.field("claim").isin(pa.array(gone, pa.binary())))
    _clean(table)
    return len(gone)


def drop_rows(url: str, column: str, values: Sequence[str]) -> int:
    """Take rows with any of these values out of a table of derived rows."""
    table = _table(url)
    if table is None:
        return 0
    mine = pc.field(column).isin(pa.array(list(values), pa.string()))
    gone = int(table.to_pyarrow_dataset().count_rows(filter=mine))
    if gone:
        _rewrite(table, mine)
    _clean(table)
    return gone


def _rewrite(table: DeltaTable, gone: Any, day: str | None = None) -> None:
    """Write a day, or a whole table that knows no days, anew without some rows, a batch in memory at a time.

    Not Delta's own delete: its files hold Arrow's view types, which no filter of our readers can be compared with.
    """
    dataset = table.to_pyarrow_dataset()
    kept = ~gone if day is None else (pc.field("day") == day) & ~gone
    batches = dataset.scanner(dataset.schema.names, filter=kept, batch_size=BATCH).to_batches()
    rows = pa.RecordBatchReader.from_batches(dataset.schema, batches)
    write_deltalake(table, rows, mode="overwrite", predicate=None if day is None else f"day = '{day}'")
    table.update_incremental()


def _clean(table: DeltaTable) -> None:
    """Delete at once what no version refers to: a reader in the middle of it reads again, a person need not wait."""
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)


def events_of(archive: str, homes: Sequence[str]) -> Iterator[tuple[Position, Event]]:
    """Every archived event of these homes, a batch in memory at a time; by file, so in no promised order."""
    table = _table(events_url(archive))
    if table is None:
        return
    names = ["incarnation", "partition", "offset", "event"]
    dataset = table.to_pyarrow_dataset()
    for batch in dataset.scanner(
        names, filter=_of(homes), batch_size=BATCH, batch_readahead=2, fragment_readahead=1
    ).to_batches():
        columns = [batch.column(name).to_pylist() for name in names]
        for incarnation, partition, offset, raw in zip(*columns, strict=True):
            yield Position(incarnation, partition, offset), decode_event(raw)


def claims_about(archive: str, homes: Sequence[str]) -> Iterator[Claim]:
    """Every archived claim about these ids."""
    table = _table(links_url(archive))
    if table is None:
        return
    ids = pa.array(list(homes), pa.string())
    wanted = pc.field("left").isin(ids) | pc.field("right").isin(ids)
    for batch in table.to_pyarrow_dataset().scanner(["claim"], filter=wanted, batch_size=BATCH).to_batches():
        for raw in batch.column("claim").to_pylist():
            yield decode_claim(raw)
