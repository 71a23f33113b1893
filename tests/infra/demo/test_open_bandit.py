"""The Open Bandit import: rounds become decisions and outcomes, and the archive's rows give the reference values."""

import msgspec
import pyarrow as pa
import pytest

from engine.events import Event
from engine.records import decode_decision
from infra.demo.open_bandit import (
    POLICIES,
    REFERENCE,
    Round,
    agrees,
    events_of,
    golden,
    import_rounds,
    is_complete,
    rounds,
)
from infra.memory import MemoryState
from infra.memory_ports import MemoryLog, MemoryNotices
from models.dataset import NothingToLearn, Scope, examples_of

SECRET = b"a secret of tests only"
NOW = 1_800_000_000_000


@pytest.fixture(scope="module")
def made() -> list[Round]:
    return [one for policy in POLICIES for one in rounds(policy)]


def table_of(events: list[Event]) -> pa.Table:
    packed = [msgspec.msgpack.encode(event) for event in events]
    return pa.table({"kind": [event.kind for event in events], "event": pa.array(packed, pa.binary())})


def test_the_archive_gives_the_reference_values(made: list[Round]) -> None:
    table = table_of([event for one in made for event in events_of(one, SECRET)])
    found = golden(table)
    assert found.rounds == 20_000
    assert agrees(found)
    assert round(found.random, 5) == REFERENCE.random == 0.00460
    assert round(found.bts, 5) == REFERENCE.bts == 0.00690
    assert round(found.ips, 5) == REFERENCE.ips == 0.00566
    assert round(found.snips, 5) == REFERENCE.snips == 0.00574
    assert round(found.ess) == 2869
    assert found.low < found.snips < found.high


def test_a_wrong_value_does_not_agree() -> None:
    assert agrees(REFERENCE)
    assert not agrees(msgspec.structs.replace(REFERENCE, snips=0.00573))
    assert not agrees(msgspec.structs.replace(REFERENCE, ess=2870.0))


def test_importing_twice_gives_the_same_events(made: list[Round]) -> None:
    first, again = (list(events_of(made[0], SECRET)) for _ in range(2))
    assert first == again
    ids = {event.message_id for one in made for event in events_of(one, SECRET)}
    assert len(ids) == 40_000 + sum(one.click for one in made)


async def test_rounds_are_folded_like_any_decision(made: list[Round]) -> None:
    state = MemoryState(lambda: NOW)
    some = [one for one in made if one.click][:5] + made[:20]
    count = await import_rounds(MemoryLog(state, MemoryNotices()), some, SECRET)
    assert count == len(state.history)
    assert len(state.decisions) == len({(one.policy, one.row) for one in some})
    table = table_of([one.event for one in state.history])
    assert is_complete(table, len(state.decisions))
    assert not is_complete(table, len(state.decisions) + 1)
    record = decode_decision(state.history[0].event.properties["record"])
    assert record.candidates[0].action_id == f"obd_item_{some[0].item:02d}"
    assert record.slate[0][1] == some[0].propensity


def test_no_training_takes_an_imported_round_for_its_own(made: list[Round]) -> None:
    table = table_of([event for one in made[:50] for event in events_of(one, SECRET)])
    with pytest.raises(NothingToLearn, match="imported:open-bandit"):
        examples_of(table, Scope(NOW, 0))
