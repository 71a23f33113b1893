"""The archive: every applied record once, in applied order, as rows of a Delta table by day. Reads and writes the
table; knows nothing of what the events mean."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from engine.decision_id import decided_at, is_decision_id
from engine.events import Event
from engine.identity import Claim
from engine.records import DecisionRecord, Position, Record, Unreadable, decode_decision, decode_record
from engine.signals import DAY
from infra.redis_store_stream import TailEntry

EVENT_SCHEMA = pa.schema(
    [
        ("incarnation", pa.int32()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("index", pa.int32()),
        ("applied", pa.int64()),
        ("day", pa.string()),
        ("home", pa.string()),
        ("source", pa.string()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("message_id", pa.string()),
        ("at", pa.int64()),
        ("received", pa.int64()),
        ("event", pa.binary()),
    ]
)
LINK_SCHEMA = pa.schema(
    [
        ("incarnation", pa.int32()),
        ("offset", pa.int64()),
        ("index", pa.int32()),
        ("applied", pa.int64()),
        ("left", pa.string()),
        ("right", pa.string()),
        ("claim", pa.binary()),
    ]
)
T = TypeVar("T")
ARCHIVE_FAILURES = (DeltaError, OSError)
ORDER = ("incarnation", "partition", "offset", "index")
LeftOut = Callable[[Event], bool]
_EVENT = msgspec.msgpack.Decoder(Event)
_CLAIM = msgspec.msgpack.Decoder(Claim)
_CLAIMS = msgspec.msgpack.Decoder(tuple[Claim, ...])
_ENCODER = msgspec.msgpack.Encoder()


def events_url(archive: str) -> str:
    return f"{archive.rstrip('/')}/events"


def links_url(archive: str) -> str:
    return f"{archive.rstrip('/')}/links"


def day_of(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")


def open_table(url: str) -> DeltaTable | None:
    """The table, or None where nothing was ever archived."""
    try:
        return DeltaTable(url)
    except TableNotFoundError:
        return None


def reading(url: str, read: Callable[[DeltaTable], T], nothing: T) -> T:
    """What `read` finds in the table, or `nothing` where there is none. Once more from a fresh snapshot where a file
    went meanwhile: a reader may take longer than replaced files are kept, and an erasure removes at once."""
    table = open_table(url)
    if table is None:
        return nothing
    try:
        return read(table)
    except FileNotFoundError:
        return read(DeltaTable(url))


class Archive:
    """The writer. Delta's application transactions make an append idempotent: (log/partition, last offset).

    What the table holds is read from the snapshot that the append is based on, so of two writers that hold the same
    records one finds its rows there already, or is refused by Delta and may try again. Raises `ARCHIVE_FAILURES`.
    `left_out` says which events of an applied record no row is made of: late ones of somebody erased.
    """

    def __init__(self, archive: str, left_out: LeftOut | None = None) -> None:
        self._left_out = left_out
        if "://" not in archive:
            Path(archive).mkdir(parents=True, exist_ok=True)
        self._events = events_url(archive)
        self._links = links_url(archive)
        self._tables: dict[str, DeltaTable] = {}

    def append(self, entries: Sequence[TailEntry]) -> int:
        """Write applied records, leaving out what the table already holds. Returns the number of rows written."""
        table = self._latest(self._events, EVENT_SCHEMA)
        fresh = [e for e in entries if e.position.offset > _held(table, _app(e.position))]
        last = {_app(e.position): e.position.offset for e in fresh}
        return self._commit(table, rows_of(fresh, self._left_out), last)

    def append_links(self, entries: Sequence[TailEntry]) -> int:
        """Write recorded link claims, leaving out what the table already holds."""
        table = self._latest(self._links, LINK_SCHEMA)
        fresh = [e for e in entries if e.position.offset > _held(table, _link_app(e.position))]
        last = {_link_app(entry.position): entry.position.offset for entry in fresh}
        return self._commit(table, link_rows(fresh), last)

    @property
    def tables(self) -> list[DeltaTable]:
        """Both tables as they are now, made if need be."""
        return [self._latest(self._events, EVENT_SCHEMA), self._latest(self._links, LINK_SCHEMA)]

    def _latest(self, url: str, schema: pa.Schema) -> DeltaTable:
        """The table as it is now, made if need be: rows must never go where they were not looked for."""
        known = self._tables.get(url)
        if known is None:
            by_day = ["day"] if "day" in schema.names else None
            DeltaTable.create(url, schema=schema, mode="ignore", partition_by=by_day)
            known = self._tables[url] = DeltaTable(url)
        else:
            known.update_incremental()
        return known

    def _commit(self, table: DeltaTable, rows: pa.Table, last: Mapping[str, int]) -> int:
        if not last:
            return 0
        properties = CommitProperties(app_transactions=[Transaction(app, offset) for app, offset in last.items()])
        # a table made before a column was thought of gets it; what it held has none there
        write_deltalake(table, rows, mode="append", schema_mode="merge", commit_properties=properties)
        return int(rows.num_rows)


def _held(table: DeltaTable, app: str) -> int:
    """The last offset of this log's partition that the table holds; -1 if none."""
    version = table.transaction_version(app)
    return -1 if version is None else int(version)


def _app(position: Position) -> str:
    return f"{position.incarnation}/{position.partition}"


def _link_app(position: Position) -> str:
    return f"links/{position.incarnation}"


def held_upto(archive: str) -> Callable[[int, int], int]:
    """(incarnation, partition) -> the last offset that is archived, -1 if none, of the table as it is now."""
    table = open_table(events_url(archive))
    return lambda incarnation, partition: -1 if table is None else _held(table, f"{incarnation}/{partition}")


def rows_of(entries: Sequence[TailEntry], left_out: LeftOut | None = None) -> pa.Table:
    """Applied records as rows of the events table, in the order given."""
    columns: dict[str, list[Any]] = {name: [] for name in EVENT_SCHEMA.names}
    for entry in entries:
        _add_rows(columns, entry, left_out)
    return pa.table(columns, EVENT_SCHEMA)


def link_rows(entries: Sequence[TailEntry]) -> pa.Table:
    """Recorded claims as rows of the links table, in the order given."""
    columns: dict[str, list[Any]] = {name: [] for name in LINK_SCHEMA.names}
    for entry in entries:
        place = (entry.position.incarnation, entry.position.offset)
        for index, claim in enumerate(_CLAIMS.decode(entry.raw)):
            values = (*place, index, entry.applied, claim.left, claim.right, _ENCODER.encode(claim))
            for name, value in zip(LINK_SCHEMA.names, values, strict=True):
                columns[name].append(value)
    return pa.table(columns, LINK_SCHEMA)


def _add_rows(columns: dict[str, list[Any]], entry: TailEntry, left_out: LeftOut | None) -> None:
    try:
        record: Record = decode_record(entry.raw)
    except Unreadable:
        return
    position, day = entry.position, day_of(entry.applied)
    for index, event in enumerate(record.events):
        if left_out is not None and left_out(event):
            continue
        columns["incarnation"].append(position.incarnation)
        columns["partition"].append(position.partition)
        columns["offset"].append(position.offset)
        columns["index"].append(index)
        columns["applied"].append(entry.applied)
        columns["day"].append(day)
        columns["home"].append(event.home)
        columns["source"].append(event.source)
        columns["kind"].append(event.kind)
        columns["name"].append(event.name)
        columns["message_id"].append(event.message_id)
        columns["at"].append(event.at)
        columns["received"].append(event.received)
        columns["event"].append(_ENCODER.encode(event))


def read_events(archive: str, kinds: Sequence[str] | None = None, since_day: str | None = None) -> pa.Table:
    """Archived rows in applied order (per partition), optionally only some kinds and days from `since_day`."""
    wanted: Any = None
    if kinds is not None:
        wanted = pc.field("kind").isin(list(kinds))
    if since_day is not None:
        recent = pc.field("day") >= since_day
        wanted = recent if wanted is None else wanted & recent

    def read(table: DeltaTable) -> pa.Table:
        return table.to_pyarrow_dataset().to_table(columns=EVENT_SCHEMA.names, filter=wanted)

    rows = reading(events_url(archive), read, EVENT_SCHEMA.empty_table())
    return rows.cast(EVENT_SCHEMA).sort_by([(name, "ascending") for name in ORDER])


def decode_event(raw: bytes) -> Event:
    return _EVENT.decode(raw)


def decode_claim(raw: bytes) -> Claim:
    return _CLAIM.decode(raw)


def iterate(archive: str) -> Iterator[tuple[Position, int, int, Event]]:
    """Every archived event as (position, index, applied ms, event), in applied order."""
    rows = read_events(archive)
    for batch in rows.to_batches(max_chunksize=10_000):
        values = batch.to_pydict()
        for n in range(batch.num_rows):
            position = Position(values["incarnation"][n], values["partition"][n], values["offset"][n])
            yield position, values["index"][n], values["applied"][n], _EVENT.decode(values["event"][n])


def iterate_links(archive: str) -> Iterator[tuple[int, Claim]]:
    """Every recorded claim as (applied ms, claim), in the order it was recorded."""
    table = open_table(links_url(archive))
    if table is None:
        return
    rows = table.to_pyarrow_dataset().to_table()
    for row in rows.sort_by([(n, "ascending") for n in ("incarnation", "offset", "index")]).to_pylist():
        yield row["applied"], _CLAIM.decode(row["claim"])


def find_decision(archive: str, decision_id: str) -> DecisionRecord | None:
    """One decision by id, pruned to the days around its making; None where there is none (yet)."""
    table = open_table(events_url(archive))
    if table is None or not is_decision_id(decision_id):
        return None
    made = decided_at(decision_id)
    days = sorted({day_of(made - DAY), day_of(made), day_of(made + DAY)})
    wanted = pc.field("day").isin(days) & (pc.field("kind") == "decision") & (pc.field("message_id") == decision_id)
    rows = table.to_pyarrow_dataset().to_table(columns=["event"], filter=wanted)
    if not rows.num_rows:
        return None
    return decode_decision(decode_event(rows["event"][0].as_py()).properties["record"])
