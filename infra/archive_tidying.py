"""Keeps the archive's files few, sorted and no longer than needed: what appends leave is gathered, days are sorted by
home so that one person is found without reading all, and what was replaced goes off the disk after a while. Rows stay
as they are; knows nothing of what they mean."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
from deltalake import DeltaTable, WriterProperties
from pyarrow.dataset import get_partition_keys

from infra.archive import day_of

# smaller ones are skipped more exactly, larger ones compress better
ROWS_PER_GROUP = 2_000
# sorting rewrites a whole day: while one is not over, only as long as that takes moments
SORTED_AT_ONCE = 500_000
VACUUM_EVERY_MS = 3_600_000
_COMPACT = WriterProperties(compression="ZSTD")
_SORTED = WriterProperties(compression="ZSTD", max_row_group_size=ROWS_PER_GROUP)


class Tidied(msgspec.Struct, frozen=True):
    """What was done: which days were sorted by home, and whether replaced files were removed from the disk."""

    sorted: tuple[str, ...] = ()
    vacuumed: bool = False


class Tidying:
    """The archive's housekeeping. A reader holds a snapshot, whose files stay for `retention_hours` after they were
    replaced: reading for longer than that is what it does not allow. Raises `ARCHIVE_FAILURES`."""

    def __init__(self, retention_hours: int) -> None:
        self._retention = retention_hours
        self._vacuumed = 0

    def tidy(self, tables: list[DeltaTable], now: int) -> Tidied:
        """Gather and sort; at most once an hour (by `now`, ms) also remove. What comes at once is nothing to do."""
        done: list[str] = []
        for table in tables:
            if any(field.name == "day" for field in table.schema().fields):
                done += self._by_day(table, day_of(now))
            else:
                table.optimize.compact(writer_properties=_COMPACT)
        if now - self._vacuumed < VACUUM_EVERY_MS:
            return Tidied(tuple(done))
        self._vacuumed = now
        for table in tables:
            table.vacuum(self._retention, dry_run=False, enforce_retention_duration=False)
        return Tidied(tuple(done), vacuumed=True)

    def _by_day(self, table: DeltaTable, today: str) -> Iterator[str]:
        for day, rows in sorted(_unsorted(table).items()):
            if day < today or rows <= SORTED_AT_ONCE:
                table.optimize.z_order(["home"], [("day", "=", day)], writer_properties=_SORTED)
                yield day
            else:
                table.optimize.compact([("day", "=", day)], writer_properties=_COMPACT)


def _unsorted(table: DeltaTable) -> dict[str, int]:
    """The days in which some home may stand in several places, and how many rows each has."""
    ranges: dict[str, list[tuple[str, str]]] = {}
    rows: dict[str, int] = {}
    for fragment in table.to_pyarrow_dataset().get_fragments():
        day = get_partition_keys(fragment.partition_expression)["day"]
        for group in fragment.row_groups:
            rows[day] = rows.get(day, 0) + group.num_rows
            ranges.setdefault(day, []).append(_range(group.statistics))
    return {day: rows[day] for day, found in ranges.items() if not _apart(sorted(found))}


def _range(statistics: Any) -> tuple[str, str]:
    # without statistics a group may hold anybody
    home = (statistics or {}).get("home") or {"min": "", "max": "~"}
    return home["min"], home["max"]


def _apart(ranges: list[tuple[str, str]]) -> bool:
    return all(low >= high for (_, high), (low, _) in pairwise(ranges))
