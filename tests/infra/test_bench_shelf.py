"""The panels' loop in small and in one process: what is asked, told and judged, and that the loop learns."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from engine.records import DecisionRecord
from infra.bench.shelf import PLACEMENT, Loop, learnt_from, positions, together
from infra.bench.shelf_http import configured, row_of
from infra.config import load
from infra.demo.in_process import KINDS, InProcessDesk
from models.action import Options, as_model, fit, parts_of
from models.dataset import NothingToLearn, Scope, examples_of
from tests.infra.test_bench_panels import made_up

PANEL = made_up(30, 9)


class InProcessShelf(InProcessDesk):
    """Implements `Shelf`."""

    learnt = 0

    def learn(self, options: Options) -> None:
        self.now += 1000
        rows = [one.event for one in self.state.history if one.event.kind in KINDS]
        packed = [msgspec.msgpack.encode(event) for event in rows]
        table = pa.table({"kind": [event.kind for event in rows], "event": pa.array(packed, pa.binary())})
        few = msgspec.structs.replace(options, rounds=30)
        try:
            parts = parts_of(examples_of(table, Scope(self.now, 0)), few.shares)
        except NothingToLearn:
            return
        self.learnt += 1
        self.model = as_model(f"m{self.learnt}", fit(parts, few))

    def decided(self) -> Mapping[str, DecisionRecord]:
        return self.state.decisions


def test_no_batch_holds_a_household_twice_and_none_runs_ahead() -> None:
    batches = list(together(PANEL, 1))
    assert sorted(row for batch in batches for row in batch) == list(range(len(PANEL)))
    for batch in batches:
        households = PANEL.household[batch]
        assert len(set(households.tolist())) == len(batch)
    last = [row for batch in batches for row in batch][-30:]
    assert set(positions(PANEL)[last].tolist()) == {8}
    assert batches != list(together(PANEL, 2))


def test_the_first_seven_tenths_of_each_household_are_learnt_from() -> None:
    learnt = set(learnt_from(PANEL).tolist())
    places = positions(PANEL)
    assert all((places[row] < 7) == (row in learnt) for row in range(len(PANEL)))


def test_the_loop_learns_from_what_was_shown(tmp_path: Path) -> None:
    shelf = InProcessShelf(load(configured(PANEL, tmp_path / "config")))
    loop = Loop(PANEL, 1, shelf)
    steps: list[int] = []
    found = loop.run(lambda done, _of: steps.append(done))
    assert steps[-1] == len(PANEL) == len(shelf.state.decisions) == len(loop.shown)
    assert shelf.learnt >= 2
    assert found.judged == 30 * 2
    # before anything was learnt every brand is as likely, and the first is shown
    begun = [brand for _, brand in list(loop.shown.values())[:30]]
    assert begun.count(0) >= 25
    # from one label per choice more than the brand that everybody takes most
    assert found.ours > 0.3
    assert found.told > 0.3
    records = shelf.state.decisions.values()
    assert {record.placement for record in records} == {PLACEMENT}
    assert {record.policy["share"] for record in records} == {0.02}
    outcomes = [one.event for one in shelf.state.history if one.event.kind == "outcome"]
    hits = sum(brand == PANEL.choice[row] for row, (_, brand) in loop.shown.items())
    assert sum(event.name == "accepted" for event in outcomes) == hits
    orders = [one.event for one in shelf.state.history if one.event.name == "Order Completed"]
    assert len(orders) == len(PANEL)
    row = row_of("made-up", [found, found])
    assert row.ours == pytest.approx(found.told - found.ours)
    assert row.missed is bool(row.ours > 0.025)
    assert np.isfinite(row.ours)
