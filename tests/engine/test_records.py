"""What travels comes back the same, unreadable bytes say so, records keep their limits, and partitions are Kafka's."""

import msgspec
import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import example, given
from hypothesis import strategies as st

from engine.decision import seed_of
from engine.events import Event
from engine.records import (
    MAX_BYTES,
    MAX_EVENTS,
    Candidate,
    DecisionRecord,
    Position,
    Record,
    Unreadable,
    decision_event,
    decode_decision,
    decode_record,
    encode,
    partition_of,
    split,
)
from tests.strategies import ANN, HOMES, START, events

RECORD = DecisionRecord(
    decision_id=f"{ANN.id}.01HF7YAT00TESTTESTTESTTEST",
    at=START,
    profile_id=ANN.id,
    profile_version="1.2",
    placement="desk",
    context={"reason": "billing"},
    segment="gold",
    limit=2,
    visible={"service": b"\x80"},
    candidates=(Candidate("a", 0.1, 10.0, 1.0, 1.0, True, ""),),
    vectors=b"\x00\x00\x80\x3f",
    spec_hash="abc",
    cross=((3.0, 0.1),),
    slate=((0, 0.95, False),),
    blocked=(("b", "cap", "used up"),),
    consent={"version": 1},
    consent_hash="def",
    seed=seed_of("a decision"),
    model="prior",
    catalogue="1",
    policy={},
    positions=(Position(1, 2, 3),),
    versions={"rapport": "0.1.0"},
    answer={"actions": []},
)


@given(events(HOMES, max_size=10))
def test_a_record_comes_back_the_same(happened: list[Event]) -> None:
    record = Record("1", START, tuple(happened))
    data = encode(record)
    assert decode_record(data) == record
    assert encode(decode_record(data)) == data


def test_a_decision_travels_inside_an_event() -> None:
    event = decision_event(RECORD)
    assert (event.home, event.message_id, event.kind, event.at) == (ANN.id, RECORD.decision_id, "decision", START)
    [travelled] = decode_record(encode(Record("1", START, (event,)))).events
    assert decode_decision(travelled.properties["record"]) == RECORD


@given(st.binary(max_size=64))
@example(b"\x93\xa2\xff\xff\x01\x90")
def test_other_bytes_are_unreadable(data: bytes) -> None:
    for decode in (decode_record, decode_decision):
        with pytest.raises(Unreadable):
            decode(data)


def test_bytes_nested_beyond_reason_are_unreadable() -> None:
    deep = b"\x81\xa1a" * 5000 + b"\x01"
    event = msgspec.msgpack.encode(("m", "web", "track", "x", 1, 1, ANN.id, (), {}))
    with pytest.raises(Unreadable):
        decode_record(b"\x93\xa11\x01\x91" + bytes([event[0] + 1]) + event[1:] + deep)


sizes = st.lists(st.sampled_from([200, 3_000, 200_000, MAX_BYTES, MAX_BYTES + 1]), max_size=30)


@given(sizes)
def test_records_keep_their_limits_and_every_event(weights: list[int]) -> None:
    happened = [Event(str(n), "web", "page", "", 1, 1, ANN.id, ()) for n in range(len(weights))]
    weight_of = dict(zip((event.message_id for event in happened), weights, strict=True))
    batches = split(happened, weights)
    assert [event for batch in batches for event in batch] == happened
    for batch in batches:
        assert 0 < len(batch) <= MAX_EVENTS
        assert len(batch) == 1 or sum(weight_of[event.message_id] for event in batch) <= MAX_BYTES


@pytest.mark.parametrize(
    ("count", "batches"), [(0, []), (1, [1]), (200, [200]), (201, [200, 1]), (450, [200, 200, 50])]
)
def test_a_record_holds_two_hundred_events(count: int, batches: list[int]) -> None:
    happened = [Event(str(n), "web", "page", "", 1, 1, ANN.id, ()) for n in range(count)]
    assert [len(batch) for batch in split(happened, [10] * count)] == batches


@given(st.text(max_size=40), st.integers(1, 64))
def test_partitions_are_those_of_kafka(home: str, partitions: int) -> None:
    every = list(range(partitions))
    assert partition_of(home, partitions) == DefaultPartitioner()(home.encode(), every, every)
