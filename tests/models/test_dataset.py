"""Which decisions become examples, what their label is, and that replayed vectors are the logged ones."""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.events import Event
from engine.outcome import Outcome
from engine.records import DecisionRecord, decision_event
from engine.signals import DAY
from features.spec import COLUMNS, SPEC_HASH
from models.dataset import NothingToLearn, Scope, decisions_in, examples, examples_of, export
from models.permission import permit_of
from models.replayed import Disparity, replayed_vectors
from models.scorer import SPEC_OF
from models.serving import decide
from tests.models.learnt import logged, offers, outcome, table_of
from tests.models.world import NOW, ask, history, setting, view

SCOPE = Scope(NOW + DAY, DAY)


def one() -> DecisionRecord:
    return decide(ask(view(history())), setting())


def said(record: DecisionRecord, rank: int, name: str, hours: int = 1) -> Outcome:
    shown = record.answer["actions"][rank - 1]["action_id"]
    return Outcome(record.decision_id, shown, name, record.at + hours * 3_600_000)


def test_an_accepted_action_is_a_one_with_its_own_row_and_propensity() -> None:
    record = one()
    made = examples([record], {record.decision_id: [said(record, 2, "presented"), said(record, 2, "accepted")]}, SCOPE)
    example = made.logged[0]
    assert (example.rank, example.reward) == (2, 1.0)
    assert example.propensity == record.answer["actions"][1]["propensity"]
    assert record.candidates[example.presented].action_id == record.answer["actions"][1]["action_id"]
    assert made.matrix.shape == (1, len(COLUMNS))
    assert example.rows.shape == (len(record.candidates), len(COLUMNS))


@pytest.mark.parametrize(
    ("names", "hours", "reason"),
    [
        ((), 1, "nothing presented"),
        (("skipped",), 1, "skipped by the agent"),
        (("presented", "accepted"), 25, "nothing presented"),
    ],
)
def test_what_teaches_nothing_is_counted(names: tuple[str, ...], hours: int, reason: str) -> None:
    record = one()
    made = examples([record], {record.decision_id: [said(record, 1, name, hours) for name in names]}, SCOPE)
    assert made.left_out == {reason: 1}


def test_an_open_window_is_waited_for() -> None:
    record = one()
    outcomes = {record.decision_id: [said(record, 1, "presented")]}
    assert examples([record], outcomes, Scope(record.at + DAY - 1, DAY)).left_out == {"outcome window still open": 1}
    assert len(examples([record], outcomes, Scope(record.at + DAY, DAY))) == 1
    assert len(examples([record], outcomes, Scope(record.at, 0))) == 1


def test_a_late_outcome_changes_no_label() -> None:
    record = one()
    late = [said(record, 1, "presented"), said(record, 1, "accepted", hours=25)]
    assert examples([record], {record.decision_id: late}, SCOPE).logged[0].reward == 0.0


def test_an_action_outside_the_slate_is_no_example() -> None:
    record = one()
    odd = Outcome(record.decision_id, "survey", "accepted", record.at + 1)
    assert examples([record], {record.decision_id: [odd]}, SCOPE).left_out == {"presented outside the slate": 1}


def test_one_placement_can_be_asked_for() -> None:
    record = one()
    elsewhere = msgspec.structs.replace(SCOPE, placement="email")
    assert examples([record], {}, elsewhere).left_out == {"another placement": 1}


def test_what_was_decided_before_a_moment_can_be_left_out() -> None:
    record = one()
    outcomes = {record.decision_id: [said(record, 1, "presented")]}
    later, now = (msgspec.structs.replace(SCOPE, since=record.at + ms) for ms in (1, 0))
    assert examples([record], outcomes, later).left_out == {"decided too long ago": 1}
    assert len(examples([record], outcomes, now)) == 1


def test_vectors_of_another_spec_are_not_mixed_in() -> None:
    record = msgspec.structs.replace(one(), spec_hash="old")
    outcomes = {record.decision_id: [said(record, 1, "presented")]}
    assert examples([record], outcomes, SCOPE).left_out == {"logged under feature spec old": 1}


def test_examples_come_in_order_of_time_and_once() -> None:
    events = list(logged(30))
    table = table_of([*reversed(events), *events])
    made = examples_of(table, Scope(NOW, DAY))
    assert len(made) == 30
    assert np.all(np.diff(made.times) > 0)
    assert len(list(decisions_in(table))) == 30


def test_the_export_has_one_row_per_example(tmp_path: Path) -> None:
    made = examples_of(table_of(logged(40)), Scope(NOW, DAY))
    assert export(made, tmp_path / "x.parquet") == 40
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.num_rows == 40
    assert set(COLUMNS) < set(table.column_names)
    assert table.schema.metadata[b"spec"] == SPEC_HASH.encode()
    assert np.array_equal(table["context_reason"].to_numpy(), made.matrix[:, COLUMNS.index("context_reason")])


def test_the_export_says_what_was_left_out_and_why(tmp_path: Path) -> None:
    events = list(logged(40))
    records = list(decisions_in(table_of(events)))
    refusing = {records[0].profile_id: frozenset({"model_training"}), records[1].profile_id: frozenset({"restriction"})}
    scope = msgspec.structs.replace(Scope(NOW, DAY), permit=permit_of(refusing))
    made = examples_of(table_of(events), scope)
    assert export(made, tmp_path / "x.parquet") == len(made) < 40
    said = msgspec.json.decode(pq.read_schema(tmp_path / "x.parquet").metadata[b"left_out"])
    assert said == made.left_out
    assert said.keys() == {"model training withdrawn since", "the person's data is restricted"}
    assert sum(said.values()) == 40 - len(made)
    kept = set(pq.read_table(tmp_path / "x.parquet")["profile_id"].to_pylist())
    assert kept == {one.profile_id for one in records} - refusing.keys()


def events_with(change: DecisionRecord) -> list[Event]:
    return [decision_event(change), outcome(change, "presented", 1), outcome(change, "accepted", 2)]


def test_replayed_vectors_equal_the_logged_ones() -> None:
    table = table_of(logged(50))
    kept = examples_of(table, Scope(NOW, DAY))
    made = examples_of(table, Scope(NOW, DAY), replayed_vectors(offers(), {}))
    assert np.array_equal(made.matrix, kept.matrix, equal_nan=True)


def test_an_unchanged_column_must_come_out_equal() -> None:
    record = one()
    rows = np.frombuffer(record.vectors, dtype="<f4").copy()
    rows[COLUMNS.index("contacts_30d")] += 1.0
    bent = msgspec.structs.replace(record, vectors=rows.tobytes())
    with pytest.raises(Disparity, match="column contacts_30d"):
        examples_of(table_of(events_with(bent)), SCOPE, replayed_vectors(setting().catalogue, {}))


def test_a_changed_column_is_made_anew() -> None:
    record = one()
    rows = np.frombuffer(record.vectors, dtype="<f4").reshape(len(record.candidates), len(COLUMNS)).copy()
    at = COLUMNS.index("contacts_30d")
    rows[:, at] = 77.0
    old = msgspec.structs.replace(record, vectors=rows.tobytes(), spec_hash="old")
    spec = {**SPEC_OF, "contacts_30d": "was another"}
    made = examples_of(table_of(events_with(old)), SCOPE, replayed_vectors(setting().catalogue, {"old": spec}))
    logged_now = np.frombuffer(record.vectors, dtype="<f4").reshape(len(record.candidates), len(COLUMNS))
    assert np.array_equal(made.logged[0].rows, logged_now, equal_nan=True)


def test_another_catalogue_or_an_unknown_spec_cannot_be_replayed() -> None:
    record = one()
    other = msgspec.structs.replace(record, catalogue="older")
    unknown = msgspec.structs.replace(record, spec_hash="never heard of")
    replay = replayed_vectors(setting().catalogue, {})
    for change in (other, unknown):
        with pytest.raises(NothingToLearn, match=r"older|never heard of"):
            examples_of(table_of(events_with(change)), SCOPE, replay)
