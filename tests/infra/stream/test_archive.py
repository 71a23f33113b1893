"""The archive: every applied record exactly once and in order, however often an append is tried and whoever tries."""

import threading
from pathlib import Path

from engine.decision_id import decision_id
from engine.identity import Claim
from engine.records import Position, Record, encode
from engine.replay import replay
from infra.archive import (
    ARCHIVE_FAILURES,
    Archive,
    decode_event,
    find_decision,
    iterate,
    iterate_links,
    read_events,
)
from infra.archiver import Archiver
from infra.processes import RunningServer
from infra.redis_store_stream import TailEntry
from infra.settings import Settings
from tests.infra.stream.bed import DATABASE, RULES, START, Bed, event, id_of, record
from tests.servers import database

DAY = 86_400_000


def entry(offset: int, applied: int = START, partition: int = 0, incarnation: int = 1) -> TailEntry:
    raw = record(event(messageId=f"{incarnation}-{partition}-{offset}-a"), event(messageId="second", minute=1))
    return TailEntry(Position(incarnation, partition, offset), applied, raw)


def places(archive: Path) -> list[tuple[int, int, int, int]]:
    return [(p.incarnation, p.partition, p.offset, index) for p, index, _, _ in iterate(str(archive))]


def settings(server: RunningServer, home: Path) -> Settings:
    return Settings(redis_url=database(server.url, DATABASE), data_dir=home, partitions=1)


def test_an_append_that_is_tried_again_adds_nothing(tmp_path: Path) -> None:
    """The archiver died between writing and trimming: the next one sees the same records in the tail."""
    entries = [entry(offset) for offset in range(3)]
    assert Archive(str(tmp_path)).append(entries) == 6
    assert Archive(str(tmp_path)).append(entries) == 0
    assert Archive(str(tmp_path)).append([*entries, entry(3)]) == 2
    assert places(tmp_path) == [(1, 0, offset, index) for offset in range(4) for index in range(2)]


def test_two_writers_of_the_same_records_write_them_once(tmp_path: Path) -> None:
    one, other = Archive(str(tmp_path)), Archive(str(tmp_path))
    for start in range(0, 6, 2):
        entries = [entry(start), entry(start + 1)]
        assert one.append(entries) == 4
        assert other.append(entries) == 0
    assert len(places(tmp_path)) == len(set(places(tmp_path))) == 12


def test_writers_that_work_at_once_write_each_record_once(tmp_path: Path) -> None:

    def work() -> None:
        archive, done = Archive(str(tmp_path)), 0
        while done < 12:
            try:
                archive.append([entry(n) for n in range(done, done + 3)])
                done += 3
            except ARCHIVE_FAILURES:
                continue

    writers = [threading.Thread(target=work) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert places(tmp_path) == [(1, 0, offset, index) for offset in range(12) for index in range(2)]


def test_rows_come_in_applied_order_over_partitions_and_logs(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    archive.append([entry(0, START + DAY, partition=1, incarnation=2), entry(1, START, partition=1)])
    archive.append([entry(0, START, partition=0), entry(0, START + DAY, partition=0, incarnation=2)])
    found = places(tmp_path)
    assert found == sorted(found)
    assert [place[:3] for place in found[::2]] == [(1, 0, 0), (1, 1, 1), (2, 0, 0), (2, 1, 0)]
    assert set(read_events(str(tmp_path), since_day="2026-09-22")["incarnation"].to_pylist()) == {2}
    assert read_events(str(tmp_path), kinds=["decision"]).num_rows == 0


def test_an_unreadable_record_is_passed_over(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    assert archive.append([TailEntry(Position(1, 0, 0), START, b"nonsense")]) == 0
    assert archive.append([TailEntry(Position(1, 0, 0), START, b"nonsense"), entry(1)]) == 2
    assert [place[2] for place in places(tmp_path)] == [1, 1]


def test_links_are_archived_once(tmp_path: Path) -> None:
    claims = [Claim("a", "user_id", "b", "email", "positive", at, "web") for at in (1, 2)]
    records = [TailEntry(Position(1, 0, n), START + n, encode((claim,))) for n, claim in enumerate(claims)]
    assert Archive(str(tmp_path)).append_links(records[:1]) == 1
    assert Archive(str(tmp_path)).append_links(records) == 1
    assert list(iterate_links(str(tmp_path))) == [(START, claims[0]), (START + 1, claims[1])]


def test_where_nothing_was_archived_nothing_is_found(tmp_path: Path) -> None:
    assert list(iterate(str(tmp_path))) == []
    assert list(iterate_links(str(tmp_path))) == []
    assert find_decision(str(tmp_path), decision_id(id_of("user_id", "ann"), START, b"x" * 10)) is None
    assert find_decision(str(tmp_path), "no decision") is None


async def test_archive_and_tail_are_what_was_applied(bed: Bed, any_redis: RunningServer, tmp_path: Path) -> None:
    """Killed between append and trim, twice; then the tail is empty and the replay of the archive equals Redis."""
    told = settings(any_redis, tmp_path)
    partition = bed.partition()
    for offset in range(5):
        await partition.take(offset, record(event(minute=offset), event(user=f"u{offset}", minute=offset)))
        if offset in (1, 3):
            Archive(told.archive).append(await bed.store.tail(0, 100))
    archiver = Archiver(told, lambda: START)
    assert await archiver.round() == 5
    assert await archiver.round() == 0
    assert await bed.tail() == []
    applied = list(iterate(told.archive))
    assert [(p.offset, index) for p, index, _, _ in applied] == [(n, i) for n in range(5) for i in range(2)]
    fragments = replay((one for *_, one in applied), RULES)
    assert [s.fragment for s in (await bed.view()).stored] == [fragments[id_of("user_id", "ann")]]
    assert (await bed.view()).applied == applied[8][2]


async def test_new_records_go_on_after_the_trim(bed: Bed, any_redis: RunningServer, tmp_path: Path) -> None:
    told = settings(any_redis, tmp_path)
    archiver, partition = Archiver(told, lambda: START), bed.partition()
    for offset in range(3):
        await partition.take(offset, record(event(minute=offset)))
        await archiver.round()
    await bed.partition(2).take(0, record(event(minute=9)))
    await Archiver(told, lambda: START).round()
    assert [(p.incarnation, p.offset) for p, *_ in iterate(told.archive)] == [(1, 0), (1, 1), (1, 2), (2, 0)]


def test_what_went_in_comes_out(tmp_path: Path) -> None:
    one = event("identify", traits={"plan": "gold", "n": 1, "f": 1.5, "no": None, "list": [1, "a"]})
    Archive(str(tmp_path)).append([TailEntry(Position(1, 0, 0), START, encode(Record("1", START, (one,))))])
    (raw,) = read_events(str(tmp_path))["event"].to_pylist()
    assert decode_event(raw) == one
