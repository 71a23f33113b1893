"""What parity reads of the archive: a sample of decisions, and the whole story of the homes they rest on. Knows the
table's columns; compares nothing."""

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from itertools import groupby

import pyarrow.compute as pc

from engine.events import Event
from engine.records import DecisionRecord, Position, Unreadable, decode_decision
from infra.archive import ORDER, decode_event, events_url, open_table

Story = list[tuple[Position, Event]]
BATCH = 10_000
HOMES_AT_ONCE = 2_000


def sampled_decisions(archive: str, count: int, seed: str, since: int = 0) -> list[DecisionRecord]:
    """At most `count` decisions made at or after `since` (ms), drawn evenly; the same seed draws the same ones."""
    table = open_table(events_url(archive))
    if table is None:
        return []
    wanted = (pc.field("kind") == "decision") & (pc.field("at") >= since)
    dataset = table.to_pyarrow_dataset()
    ids = (
        name
        for batch in dataset.to_batches(columns=["message_id"], filter=wanted, batch_size=BATCH)
        for name in batch.column(0).to_pylist()
    )
    chosen = heapq.nsmallest(count, set(ids), key=lambda name: hashlib.sha256(f"{seed}{name}".encode()).digest())
    if not chosen:
        return []
    rows = dataset.to_table(columns=["event"], filter=wanted & pc.field("message_id").isin(chosen))
    found = {}
    for value in rows.column(0):
        event = decode_event(value.as_py())
        found[event.message_id] = event
    return [record for name in chosen if (record := _record(found[name])) is not None]


def _record(event: Event) -> DecisionRecord | None:
    try:
        return decode_decision(event.properties["record"])
    except (KeyError, Unreadable):
        return None


def stories(archive: str, homes: Sequence[str]) -> Iterator[tuple[str, Story]]:
    """Every archived event of each home with the position of its record, in applied order."""
    table = open_table(events_url(archive))
    if table is None:
        return
    columns = ["home", *ORDER, "event"]
    for start in range(0, len(homes), HOMES_AT_ONCE):
        wanted = pc.field("home").isin(list(homes[start : start + HOMES_AT_ONCE]))
        rows = table.to_pyarrow_dataset().to_table(columns=columns, filter=wanted)
        ordered = rows.sort_by([(name, "ascending") for name in ("home", *ORDER)])
        for home, group in groupby(_rows(ordered), key=lambda row: row[0]):
            yield home, [(position, decode_event(raw)) for _, position, raw in group]


def _rows(table: object) -> Iterator[tuple[str, Position, bytes]]:
    for batch in table.to_batches(max_chunksize=BATCH):  # type: ignore[attr-defined]  # reason: pyarrow is untyped
        values = batch.to_pydict()
        columns = (values[name] for name in ("home", "incarnation", "partition", "offset", "event"))
        for home, incarnation, partition, offset, raw in zip(*columns, strict=True):
            yield home, Position(incarnation, partition, offset), raw
