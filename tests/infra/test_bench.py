"""The bench's own parts: what its client takes for a whole answer, how figures stand beside floors and targets, and one
bench from start to rows. No figure is judged here: a timed test tells more about the machine than about us."""

import json
from pathlib import Path

import pytest

from infra.bench.bed import Place
from infra.bench.client import complete
from infra.bench.figures import Row, Target, less, more, percentile, remarks, table
from infra.bench.run import BENCHES, ONLY_WHEN_NAMED, UnknownBench, chosen, run, written


@pytest.mark.parametrize(
    ("got", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nserver: x\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_by_its_length_or_its_last_chunk(got: bytes, whole: bool) -> None:
    assert complete(bytearray(got)) is whole


def test_a_ratio_says_how_good_ours_is_as_a_part_of_the_floor() -> None:
    rate = more(Row("b", "rate", 50.0, "requests/s"), 100.0)
    latency = less(Row("b", "latency", 4.0, "ms"), 2.0)
    assert (rate.ratio, latency.ratio) == (0.5, 0.5)


def test_a_missed_target_is_seen() -> None:
    assert Row("b", "rate", 9.0, "x", target=Target(10)).missed
    assert not Row("b", "latency", 9.0, "ms", target=Target(10, most=True)).missed
    assert Row("b", "rate", 9.0, "x", ratio=0.3, ratio_target=Target(0.4)).missed
    assert not Row("b", "rate", 9.0, "x").missed


def test_percentiles_of_nothing_are_no_number() -> None:
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([], 99) != percentile([], 99)


def test_benches_are_chosen_by_name_and_keep_their_order() -> None:
    assert chosen("") == [name for name in BENCHES if name not in ONLY_WHEN_NAMED]
    assert {"chaos", "memory", "crowd", "coverage", "gate", "panels", "people"} <= ONLY_WHEN_NAMED
    assert chosen("chaos") == ["chaos"]
    assert chosen("bulk, stream") == ["stream", "bulk"]
    with pytest.raises(UnknownBench, match="no bench is called speed"):
        chosen("speed")


@pytest.mark.slow
def test_a_bench_gives_rows_beside_their_floor(tmp_path: Path) -> None:
    said: list[str] = []
    found = run(["ingest"], Place(quick=True), said.append)
    (row,) = found["rows"]
    assert row.ours > 0
    assert row.floor == pytest.approx(row.ours / row.ratio)
    assert len(said) == 2
    assert table(found["rows"]).row_count == 1
    assert len(remarks(found["rows"])) == 2
    written(found, tmp_path / "bench.json")
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["machine"]["cores"] >= 1
    assert kept["rows"][0]["bench"] == "ingest"
