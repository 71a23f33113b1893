"""The archive's housekeeping: fewer files, sorted by home, old ones gone after a while, and never a row the less."""

from pathlib import Path

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from engine.identity import Claim
from engine.records import Position, encode
from infra.archive import EVENT_SCHEMA, Archive, events_url, iterate, iterate_links, read_events, reading
from infra.archive_homes import Where, by_home
from infra.archive_tidying import ROWS_PER_GROUP, Tidying
from infra.redis_store_stream import TailEntry
from tests.infra.stream.bed import START, event, id_of, record

DAY = 86_400_000
MIDNIGHT = START - START % DAY
NOW = MIDNIGHT + DAY
LATER = NOW + 7_200_000


def entry(offset: int, applied: int = MIDNIGHT) -> TailEntry:
    users = (f"u{(offset * 7 + n * 3) % 40}" for n in range(10))
    made = [event(user=user, minute=offset, messageId=f"{offset}-{n}") for n, user in enumerate(users)]
    return TailEntry(Position(1, 0, offset), applied, record(*made))


def archive_of(home: Path, records: int, days: int = 1) -> Archive:
    """An archive of so many appends over some days."""
    archive = Archive(str(home))
    for offset in range(records):
        archive.append([entry(offset, MIDNIGHT + offset * days * DAY // records)])
    return archive


def files(home: Path) -> list[Path]:
    return sorted(Path(home).glob("events/day=*/*.parquet"))


def test_tidying_changes_files_and_no_row(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, 8)
    before = list(iterate(str(tmp_path)))
    Tidying(24).tidy(archive.tables, NOW)
    assert len(DeltaTable(events_url(str(tmp_path))).file_uris()) == 1
    assert list(iterate(str(tmp_path))) == before
    assert archive.append([entry(7), entry(8)]) == 10
    assert Archive(str(tmp_path)).append([entry(8)]) == 0


def test_days_are_sorted_once_and_again_when_rows_came(tmp_path: Path) -> None:
    archive, tidying = archive_of(tmp_path, 12, days=3), Tidying(24)
    days = ("2026-09-21", "2026-09-22", "2026-09-23")
    assert tidying.tidy(archive.tables, NOW).sorted == days
    assert tidying.tidy(archive.tables, NOW).sorted == ()
    archive.append([entry(12, MIDNIGHT + DAY)])
    assert tidying.tidy(archive.tables, NOW).sorted == days[1:2]
    homes = [home for home, _ in by_home(str(tmp_path), Where(), [])]
    assert homes == sorted(set(homes))


def test_one_home_is_found_in_one_group_of_a_sorted_day(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    for start in range(0, 600, 100):
        archive.append([entry(offset) for offset in range(start, start + 100)])
    before = dict(by_home(str(tmp_path), Where(), []))
    Tidying(24).tidy(archive.tables, NOW)
    wanted = pc.field("home") == id_of("user_id", "u7")
    fragments = list(DeltaTable(events_url(str(tmp_path))).to_pyarrow_dataset().get_fragments(filter=wanted))
    groups = [group for fragment in fragments for group in fragment.split_by_row_group(filter=wanted)]
    assert 1 <= len(groups) <= 2 < 6_000 / ROWS_PER_GROUP
    for homes in ((id_of("user_id", "u7"),), tuple(before)):
        assert dict(by_home(str(tmp_path), Where(homes=homes), [])) == {home: before[home] for home in homes}


def test_replaced_files_stay_for_whoever_reads_them(tmp_path: Path) -> None:
    archive, tidying = archive_of(tmp_path, 8), Tidying(24)
    snapshot, before = DeltaTable(events_url(str(tmp_path))), read_events(str(tmp_path))
    assert [tidying.tidy(archive.tables, at).vacuumed for at in (NOW, LATER)] == [True, True]
    rows = snapshot.to_pyarrow_dataset().to_table(columns=EVENT_SCHEMA.names)
    assert rows.num_rows == before.num_rows == 80
    assert read_events(str(tmp_path)).num_rows == 80


def test_replaced_files_go_in_the_end(tmp_path: Path) -> None:
    archive, tidying = archive_of(tmp_path, 8), Tidying(0)
    before = list(iterate(str(tmp_path)))
    tidying.tidy(archive.tables, NOW)
    assert len(files(tmp_path)) == 1
    assert list(iterate(str(tmp_path))) == before
    archive.append([entry(8)])
    # not more often than once an hour
    assert not tidying.tidy(archive.tables, NOW + 60_000).vacuumed
    assert len(files(tmp_path)) == 3
    assert tidying.tidy(archive.tables, LATER).vacuumed
    assert len(files(tmp_path)) == 1


def test_who_loses_a_file_while_reading_starts_again(tmp_path: Path) -> None:
    archive, tries = archive_of(tmp_path, 8), list[int]()

    def read(table: DeltaTable) -> int:
        tries.append(table.version())
        if len(tries) == 1:
            Tidying(0).tidy(archive.tables, NOW)
        return int(table.to_pyarrow_dataset().to_table(columns=["event"]).num_rows)

    assert reading(events_url(str(tmp_path)), read, 0) == 80
    assert tries[0] < tries[1]


def test_links_are_gathered_too(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    claims = [Claim(f"a{n}", "user_id", "b", "email", "positive", n, "web") for n in range(6)]
    for offset, claim in enumerate(claims):
        archive.append_links([TailEntry(Position(1, 0, offset), START + offset, encode((claim,)))])
    Tidying(0).tidy(archive.tables, NOW)
    assert len(list(tmp_path.glob("links/*.parquet"))) == 1
    assert [claim for _, claim in iterate_links(str(tmp_path))] == claims


@pytest.mark.parametrize("homes", [1, 40, 200])
def test_few_and_many_homes_are_read_alike(tmp_path: Path, homes: int) -> None:
    archive_of(tmp_path, 20, days=2)
    named = tuple(sorted(id_of("user_id", f"u{n}") for n in range(homes)))
    everybody = dict(by_home(str(tmp_path), Where(), []))
    assert dict(by_home(str(tmp_path), Where(homes=named), [])) == {h: everybody[h] for h in named if h in everybody}
    early = dict(by_home(str(tmp_path), Where(homes=named, until=MIDNIGHT + DAY // 2), []))
    assert early == {
        home: kept
        for home in named
        if (kept := [one for one in everybody.get(home, []) if one.applied <= MIDNIGHT + DAY // 2])
    }
