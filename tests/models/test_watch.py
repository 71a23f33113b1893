"""Decisions with known answers: no drift is an index near zero, the shifted column comes first, calibration and
exploration are counted by hand, and what is open is not judged."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec
import numpy as np
import pytest

from engine.outcome import Outcome
from engine.records import DecisionRecord
from engine.signals import DAY
from features.spec import COLUMNS, INDEX
from models.dataset import decisions_in, outcomes_in
from models.drift import FEWEST, MOVING, SHIFTS, STEADY, TOO_FEW
from models.registry import Period
from models.train import card_of
from models.watch import FIRST, HOUR, MOST_WINDOWS, TRAINING, Terms, interval, length_of, watched
from models.watched import FEWEST_JUDGED, Watched
from tests.models.learnt import START, small_model, small_table, small_training
from tests.models.world import NOW

Said = dict[str, list[Outcome]]


@lru_cache(maxsize=1)
def lived() -> tuple[tuple[DecisionRecord, ...], Said]:
    table = small_table()
    return tuple(decisions_in(table)), outcomes_in(table)


@lru_cache(maxsize=1)
def mixed() -> tuple[DecisionRecord, ...]:
    """The same with rows dealt anew, so that no column knows the time: everybody here signed up on one day."""
    records = lived()[0]
    order = np.random.default_rng(3).permutation(len(records)).tolist()
    return tuple(
        msgspec.structs.replace(one, vectors=records[n].vectors) for one, n in zip(records, order, strict=True)
    )


def terms(**more: object) -> Terms:
    return msgspec.structs.replace(Terms(NOW, DAY, model=small_model()), **more)


def changed(record: DecisionRecord, column: str, by: Callable[[float], float]) -> DecisionRecord:
    rows = np.frombuffer(record.vectors, dtype="<f4").reshape(-1, len(COLUMNS)).copy()
    rows[:, INDEX[column]] = [by(float(value)) for value in rows[:, INDEX[column]]]
    return msgspec.structs.replace(record, vectors=rows.tobytes())


def found_of(records: Sequence[DecisionRecord], **more: object) -> Watched:
    return watched(records, lived()[1], terms(**more))


def test_where_nothing_changed_nothing_drifts() -> None:
    found = found_of(mixed())
    assert (found.against, found.model) == (FIRST, small_model().version)
    assert set(small_model().columns) >= {one.name for one in found.drift}
    assert all(one.latest is not None and one.latest < 2 * MOVING for one in (found.score, *found.drift))
    assert {one.verdict for one in (found.score, *found.drift)} == {STEADY}
    assert found.alarms == ()


def test_the_shifted_column_is_named_first_with_its_sentence() -> None:
    records = mixed()
    half = len(records) // 2
    column = found_of(records).drift[-1].name
    shifted = [*records[:half], *(changed(one, column, lambda _: 777.0) for one in records[half:])]
    found = found_of(shifted)
    assert found.drift[0].name == column
    assert found.drift[0].verdict == SHIFTS
    assert {one.verdict for one in found.drift[1:]} == {STEADY}
    told = f"{column} ({found.drift[0].latest:.2f})"
    assert [sentence.startswith("Spread otherwise than in the first window: ") for sentence in found.alarms] == [True]
    assert told in found.alarms[0]
    known = [index for index in found.drift[0].indexes if index is not None]
    assert known[0] < MOVING < known[-1]


def test_a_trend_is_a_drift() -> None:
    """Nobody here is new after the first day, so how long they are known grows."""
    worst = found_of(lived()[0]).drift[0]
    assert (worst.name, worst.verdict) in {
        (name, SHIFTS) for name in ("known_days", "events_1d", "events_30d", "events_days")
    }


def test_it_is_measured_against_what_the_champion_learned_from() -> None:
    card = card_of(small_training().files)
    found = found_of(lived()[0], reference=card.data)
    assert (found.against, found.reference_rows) == (TRAINING, 1200)
    later = found_of(lived()[0], reference=card.data, since=card.data.last - 4 * HOUR)
    assert later.reference_rows == 1200
    assert later.decisions == sum(one.at >= card.data.last - 4 * HOUR for one in lived()[0])


def test_a_reference_with_too_few_rows_gives_way_to_the_first_window() -> None:
    assert found_of(lived()[0], reference=Period(START, START + HOUR)).against == FIRST


def test_calibration_and_response_are_those_counted_by_hand() -> None:
    records, said = lived()
    found = found_of(records)
    accepted = {one.decision_id for told in said.values() for one in told if one.outcome == "accepted"}
    assert sum(one.judged for one in found.windows) == len(records)
    first = found.windows[0]
    inside = [one for one in records if first.since <= one.at < first.since + found.length]
    assert first.decisions == len(inside)
    assert first.observed == pytest.approx(sum(one.decision_id in accepted for one in inside) / len(inside))
    assert first.expected == pytest.approx(0.1)
    assert sum(one.judged for one in found.actions) == len(records)
    by_name = {one.action_id: one for one in found.actions}
    shown = [one for one in records if one.answer["actions"][0]["action_id"] == "credit"]
    assert (by_name["credit"].slates, by_name["credit"].judged) == (len(shown), len(shown))
    took = sum(one.decision_id in accepted for one in shown) / len(shown)
    assert by_name["credit"].observed == pytest.approx(took)
    assert found.exploration == sum(one.answer["explored"] for one in records) / len(records)


def test_rewards_are_those_it_is_told() -> None:
    usual, half = found_of(lived()[0]), found_of(lived()[0], rewards={"accepted": 0.5})
    for before, now in zip(usual.windows, half.windows, strict=True):
        assert now.observed == pytest.approx((before.observed or 0.0) / 2)


def test_expectations_outside_the_interval_are_an_alarm() -> None:
    records = [
        msgspec.structs.replace(
            one, candidates=tuple(msgspec.structs.replace(c, probability=0.9) for c in one.candidates)
        )
        for one in lived()[0]
    ]
    found = found_of(records)
    assert found.judged is not None
    assert found.judged.off
    assert any("Calibration is off" in sentence and "90.0% were expected" in sentence for sentence in found.alarms)


def test_what_is_open_is_counted_and_not_judged() -> None:
    records = lived()[0]
    found = found_of(records, now=records[-1].at + DAY - HOUR)
    late = [one for one in records if records[-1].at + DAY - HOUR - one.at < DAY]
    assert found.open == len(late) > 0
    assert sum(one.judged for one in found.windows) == len(records) - len(late)
    assert found_of(records, now=records[-1].at, window=0).open == 0


def test_who_refuses_is_left_out_and_counted() -> None:
    records = lived()[0]
    refused = {one.profile_id for one in records[:50]}
    found = found_of(records, permit=lambda one: "refused" if one.profile_id in refused else "")
    assert found.left_out == {"refused": sum(one.profile_id in refused for one in records)}
    assert found.decisions == len(records) - found.left_out["refused"]


def test_nothing_is_no_finding_and_little_is_too_little() -> None:
    nothing = watched((), {}, terms())
    assert (nothing.decisions, nothing.windows, nothing.exploration, nothing.judged, nothing.alarms) == (
        0,
        (),
        None,
        None,
        (),
    )
    few = found_of(lived()[0][: FEWEST - 1])
    assert (few.against, few.drift, few.score.verdict) == ("", (), TOO_FEW)
    assert few.decisions == FEWEST - 1


def test_where_nothing_is_explored_it_says_so() -> None:
    records = [
        msgspec.structs.replace(one, slate=tuple((place, 1.0, False) for place, _, _ in one.slate))
        for one in lived()[0]
    ]
    assert any("Nothing was explored" in sentence for sentence in found_of(records).alarms)


def test_the_clock_is_compared_over_whole_rounds_only() -> None:
    model = terms(model=terms().model)
    assert not {"hour", "weekday"} & {one.name for one in watched(lived()[0], lived()[1], model).drift}


@pytest.mark.parametrize(
    ("span", "count", "length"),
    [
        (60_000, 100_000, 10_000),
        (30 * DAY, 100_000, DAY),
        (30 * DAY, 1500, 7 * DAY),
        (0, 1, 10_000),
        (900 * DAY, 9, 30 * DAY),
    ],
)
def test_windows_are_neither_many_nor_thin(span: int, count: int, length: int) -> None:
    first = NOW - NOW % (30 * DAY)
    assert length_of(first, first + span, count) == length
    assert span // length <= MOST_WINDOWS or length == 30 * DAY


def test_an_interval_is_that_of_wilson() -> None:
    low, high = interval(0.5, 100)
    assert [low, high] == pytest.approx([0.3753, 0.6247], abs=1e-4)
    assert interval(0.0, 50)[0] == 0.0
    assert 0.1 < interval(0.0, 50)[1] < 0.13
    assert FEWEST_JUDGED >= 30
