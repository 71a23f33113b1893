"""The training set: logged decisions with the vectors they were made with, joined to what became of them. Knows nothing
of where events are archived; rows come in as a table and no vector is made up except by an asked-for replay."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from engine.events import Event
from engine.outcome import DEFAULT_REWARDS, WINDOW, Outcome, judge, window_closed
from engine.records import DecisionRecord, decode_decision
from features.spec import COLUMNS, SPEC_HASH
from models.permission import Permit, everyone
from models.scorer import Floats, ModelError, Rows

Vectors = Callable[[DecisionRecord], Rows]
Progress = Callable[[str, int, int], None]
_EVENT = msgspec.msgpack.Decoder(Event)


class NothingToLearn(ModelError):
    """No decision could become an example; the message counts why."""


class Stale(ModelError):
    """A decision's vectors were logged under another feature spec."""


class Scope(msgspec.Struct, frozen=True):
    """Which decisions count: those of one placement (all where empty) whose outcome window of `window` ms is closed at
    `now`, and whose person permits it. A window of 0 waits for nothing and cuts nothing off. `rewards` says what an
    outcome is worth by its kind. What was decided before `since` (ms) does not count."""

    now: int
    window: int = WINDOW
    placement: str = ""
    permit: Permit = everyone
    rewards: Mapping[str, float] = DEFAULT_REWARDS
    since: int = 0


class Logged(msgspec.Struct, frozen=True, eq=False):
    """One decision with its verdict: `rows` of all candidates, which one was presented at which rank, and how likely
    the logging policy was to put it there given the ranks before."""

    record: DecisionRecord
    rows: Rows
    presented: int
    rank: int
    propensity: float
    reward: float
    skipped: bool


class Examples(msgspec.Struct, frozen=True, eq=False):
    """The training set in order of decision time. `left_out` counts decisions that are no example, by reason."""

    logged: tuple[Logged, ...]
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.logged)

    @property
    def matrix(self) -> Rows:
        """The presented actions' vectors: float32 of shape (examples, len(COLUMNS))."""
        return np.stack([one.rows[one.presented] for one in self.logged])

    @property
    def rewards(self) -> Floats:
        return np.asarray([one.reward for one in self.logged])

    @property
    def propensities(self) -> Floats:
        return np.asarray([one.propensity for one in self.logged])

    @property
    def times(self) -> npt.NDArray[np.int64]:
        return np.asarray([one.record.at for one in self.logged], dtype=np.int64)

    @property
    def people(self) -> list[str]:
        return [one.record.profile_id for one in self.logged]


def logged_vectors(record: DecisionRecord) -> Rows:
    """The vectors as they were used. Raises `Stale` where the feature spec has changed since."""
    if record.spec_hash != SPEC_HASH:
        raise Stale(f"logged under feature spec {record.spec_hash}")
    return np.frombuffer(record.vectors, dtype="<f4").reshape(len(record.candidates), len(COLUMNS))


def _events(table: pa.Table, kind: str) -> Iterator[Event]:
    for batch in table.select(["kind", "event"]).to_batches():
        kinds = batch.column(0).to_pylist()
        yield from (_EVENT.decode(v.as_py()) for k, v in zip(kinds, batch.column(1), strict=True) if k == kind)


def decisions_in(table: pa.Table) -> Iterator[DecisionRecord]:
    """The decision records among the rows of an events table, each once, in the table's order."""
    seen: set[str] = set()
    for event in _events(table, "decision"):
        if event.message_id not in seen:
            seen.add(event.message_id)
            yield decode_decision(event.properties["record"])


def outcomes_in(table: pa.Table) -> dict[str, list[Outcome]]:
    """The outcomes among the rows of an events table, by decision id."""
    found: dict[str, list[Outcome]] = {}
    for event in _events(table, "outcome"):
        outcome = outcome_of(event)
        found.setdefault(outcome.decision_id, []).append(outcome)
    return found


def outcome_of(event: Event) -> Outcome:
    said: Mapping[str, Any] = event.properties
    value = said.get("value")
    return Outcome(
        decision_id=str(said.get("decision_id", "")),
        action_id=str(said.get("action_id", "")),
        outcome=event.name,
        at=event.at,
        value=float(value) if isinstance(value, int | float) else None,
        by=str(said.get("by") or ""),
    )


def examples(
    decisions: Iterable[DecisionRecord],
    outcomes: Mapping[str, Sequence[Outcome]],
    scope: Scope,
    vectors: Vectors = logged_vectors,
) -> Examples:
    """Every decision that taught something, in order of time; the others are counted by reason."""
    left_out: Counter[str] = Counter()
    found: list[Logged] = []
    for record in decisions:
        example = _example(record, outcomes.get(record.decision_id, ()), scope, vectors)
        if isinstance(example, str):
            left_out[example] += 1
        else:
            found.append(example)
    found.sort(key=lambda one: (one.record.at, one.record.decision_id))
    return Examples(tuple(found), dict(left_out))


def logged_in(table: pa.Table, scope: Scope, vectors: Vectors = logged_vectors) -> Iterator[Logged]:
    """The same one by one, in the table's order: whoever needs only sums holds no rows."""
    outcomes = outcomes_in(table)
    for record in decisions_in(table):
        example = _example(record, outcomes.get(record.decision_id, ()), scope, vectors)
        if not isinstance(example, str):
            yield example


def _out_of_scope(record: DecisionRecord, scope: Scope) -> str:
    if scope.placement and record.placement != scope.placement:
        return "another placement"
    if record.at < scope.since:
        return "decided too long ago"
    if not window_closed(record.at, scope.now, scope.window):
        return "outcome window still open"
    return scope.permit(record)


def _example(record: DecisionRecord, outcomes: Sequence[Outcome], scope: Scope, vectors: Vectors) -> Logged | str:
    why = _out_of_scope(record, scope)
    if why:
        return why
    in_time = (o for o in outcomes if not scope.window or o.at <= record.at + scope.window)
    verdict = judge(in_time, scope.rewards)
    if verdict.action_id is None:
        return "skipped by the agent" if verdict.skipped else "nothing presented"
    names = [candidate.action_id for candidate in record.candidates]
    ranks = {names[candidate]: rank for rank, (candidate, _, _) in enumerate(record.slate, start=1)}
    if verdict.action_id not in ranks:
        return "presented outside the slate"
    rank = ranks[verdict.action_id]
    candidate, propensity, _ = record.slate[rank - 1]
    try:
        rows = vectors(record)
    except Stale as stale:
        return str(stale)
    return Logged(record, rows, candidate, rank, propensity, verdict.reward, verdict.skipped)


def examples_of(table: pa.Table, scope: Scope, vectors: Vectors = logged_vectors) -> Examples:
    """`examples` of a table with the columns `kind` and `event` (msgpack of `Event`).

    Raises `NothingToLearn`, saying why, where no decision became an example.
    """
    made = examples(decisions_in(table), outcomes_in(table), scope, vectors)
    if not len(made):
        why = "; ".join(f"{count} {reason}" for reason, count in sorted(made.left_out.items()))
        raise NothingToLearn(f"no decision can be learnt from: {why or 'the archive holds no decisions'}")
    return made


def to_table(made: Examples) -> pa.Table:
    """One row per example: what identifies it, its label, its propensity, then every feature column. The schema's
    metadata names the feature spec, and counts by reason the decisions that are no example (`left_out`, JSON)."""
    records = [one.record for one in made.logged]
    matrix = made.matrix
    columns: dict[str, Any] = {
        "decision_id": [r.decision_id for r in records],
        "profile_id": made.people,
        "at": made.times,
        "placement": [r.placement for r in records],
        "model": [r.model for r in records],
        "segment": [r.segment for r in records],
        "action_id": [one.record.candidates[one.presented].action_id for one in made.logged],
        "rank": [one.rank for one in made.logged],
        "reward": made.rewards,
        "propensity": made.propensities,
        "skipped": [one.skipped for one in made.logged],
        **{name: matrix[:, index] for index, name in enumerate(COLUMNS)},
    }
    left_out = msgspec.json.encode(made.left_out, order="sorted")
    return pa.table(columns).replace_schema_metadata({"spec": SPEC_HASH, "left_out": left_out})


def export(made: Examples, path: Path) -> int:
    """Write the training set as Parquet; returns the number of rows."""
    pq.write_table(to_table(made), path)
    return len(made)
