"""The archive read by home: the rows of some homes, or of a range of them, each home's in applied order, together with
what waits in the tails. Knows the table's columns; nothing of what the events mean."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from engine.identity import Claim
from engine.records import Position
from engine.replay import Applied
from infra.archive import (
    EVENT_SCHEMA,
    LINK_SCHEMA,
    day_of,
    decode_claim,
    decode_event,
    events_url,
    link_rows,
    links_url,
    open_table,
    reading,
    rows_of,
)
from infra.redis_store_stream import TailEntry

COLUMNS = ("home", "incarnation", "partition", "offset", "index", "applied", "event")
ORDER = [(name, "ascending") for name in ("home", "incarnation", "partition", "offset", "index")]
LINK_ORDER = [(name, "ascending") for name in ("incarnation", "offset", "index")]
BATCH = 10_000
# row groups are left unread by equality; how a long list would be tried costs more than it saves
FEW = 64


class Where(msgspec.Struct, frozen=True):
    """Which rows: homes from `low` to below `high` (empty: no bound) or exactly these, of these partitions (None: of
    all), applied by `until` (ms), and not beyond a partition's mark."""

    low: str = ""
    high: str = ""
    homes: tuple[str, ...] | None = None
    partitions: tuple[int, ...] | None = None
    until: int | None = None
    marks: tuple[Position, ...] = ()


def by_home(archive: str, where: Where, waiting: Sequence[TailEntry]) -> Iterator[tuple[str, list[Applied]]]:
    """Homes in order, each with what was applied to it, in order and once. `waiting` is what the tails held *before*
    this call: what was archived since then stands in both and is taken once. Raises `ARCHIVE_FAILURES`."""
    wanted = _wanted(where)
    rows = reading(events_url(archive), lambda table: _rows(table, where), EVENT_SCHEMA.empty_table().select(COLUMNS))
    tail = rows_of(waiting).select(COLUMNS)
    both = pa.concat_tables([rows, tail if wanted is None else tail.filter(wanted)]).sort_by(ORDER)
    marks = {mark.partition: mark for mark in where.marks}
    for home, group in groupby(_applied(both), key=lambda one: one.event.home):
        reached = (one for one in group if one.position <= marks.get(one.position.partition, one.position))
        once = {(one.position, one.index): one for one in reached}
        yield home, list(once.values())


def claims_of(
    archive: str, identities: Sequence[str] | None, waiting: Sequence[TailEntry], until: int | None = None
) -> list[Claim]:
    """The claims about any of these ids (None: all claims) recorded by `until` (ms), in the order they were recorded
    and once; `waiting` as for `by_home`."""
    wanted = None if until is None else pc.field("applied") <= until
    if identities is not None:
        # what was archived before these columns were there must be looked into
        named = _one_of("left", identities) | _one_of("right", identities) | pc.field("left").is_null()
        wanted = named if wanted is None else named & wanted
    nothing = LINK_SCHEMA.empty_table()
    rows = reading(links_url(archive), lambda table: _link_rows(table, wanted), nothing)
    tail = link_rows(waiting)
    both = pa.concat_tables([rows, tail if wanted is None else tail.filter(wanted)]).sort_by(LINK_ORDER)
    places = zip(*(both[name].to_pylist() for name, _ in LINK_ORDER), strict=True)
    once = dict(zip(places, both["claim"].to_pylist(), strict=True))
    claims = [decode_claim(raw) for raw in once.values()]
    known = None if identities is None else frozenset(identities)
    return [claim for claim in claims if known is None or claim.left in known or claim.right in known]


def _link_rows(table: DeltaTable, wanted: Any) -> pa.Table:
    found = table.to_pyarrow_dataset(schema=LINK_SCHEMA).to_table(columns=LINK_SCHEMA.names, filter=wanted)
    return found.cast(LINK_SCHEMA)


def rows_in(archive: str, where: Where) -> int:
    """How many rows there are to read, from the table's own statistics where all are wanted."""
    table = open_table(events_url(archive))
    if table is None:
        return 0
    if where.partitions is None and not (where.low or where.high or where.homes):
        return int(pc.sum(pa.chunked_array([_counts(table)])).as_py() or 0)
    return int(table.to_pyarrow_dataset().count_rows(filter=_wanted(where)))


def _counts(table: DeltaTable) -> Any:
    return pa.array(pa.table(table.get_add_actions(flatten=True))["num_records"].to_pylist(), pa.int64())


def _rows(table: DeltaTable, where: Where) -> pa.Table:
    found = table.to_pyarrow_dataset().to_table(columns=list(COLUMNS), filter=_wanted(where, dated=True))
    return found.cast(pa.schema([EVENT_SCHEMA.field(name) for name in COLUMNS]))


def _wanted(where: Where, *, dated: bool = False) -> Any:
    """The rows as a filter, None for all of them; `dated` where the day may be asked, by which files are left out."""
    terms: list[Any] = []
    if dated and where.until is not None:
        terms.append(pc.field("day") <= day_of(where.until))
    if where.homes is not None:
        terms.append(_one_of("home", where.homes))
    if where.low:
        terms.append(pc.field("home") >= where.low)
    if where.high:
        terms.append(pc.field("home") < where.high)
    if where.partitions is not None:
        terms.append(pc.field("partition").isin(list(where.partitions)))
    if where.until is not None:
        terms.append(pc.field("applied") <= where.until)
    whole = None
    for term in terms:
        whole = term if whole is None else whole & term
    return whole


def _one_of(column: str, values: Sequence[str]) -> Any:
    if not values or len(values) > FEW:
        return pc.field(column).isin(pa.array(list(values), pa.string()))
    whole = pc.field(column) == values[0]
    for value in values[1:]:
        whole = whole | (pc.field(column) == value)
    return whole


def _applied(rows: pa.Table) -> Iterator[Applied]:
    for batch in rows.to_batches(max_chunksize=BATCH):
        columns = [batch.column(name).to_pylist() for name in COLUMNS[1:]]
        for incarnation, partition, offset, index, applied, event in zip(*columns, strict=True):
            yield Applied(Position(incarnation, partition, offset), index, applied, decode_event(event))
