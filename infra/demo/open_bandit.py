"""A real bandit log in our own terms: the Open Bandit rounds become decisions and outcomes of the system, and
off-policy values are computed from what its archive then holds. Knows the files; opens no broker and no archive."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from engine.decision_id import decision_id
from engine.events import Event
from engine.identifiers import identifier_id
from engine.outcome import Outcome, judge, outcome_id
from engine.ports import Log
from engine.records import Candidate, DecisionRecord, decision_event
from models.dataset import decisions_in, outcomes_in
from models.evaluate import Logs, estimate

DATA = Path(__file__).parent / "data"
POLICIES = ("random", "bts")
ITEMS, POSITIONS = 34, 3
SOURCE, PLACEMENT, SPEC = "open-bandit", "zozotown_men", "imported:open-bandit"
FEATURES = tuple(f"user_feature_{number}" for number in range(4))
CHUNK = 1000


class Golden(msgspec.Struct, frozen=True):
    """Off-policy values of the log: mean click rate of both policies, and the value of "item-by-position frequencies of
    the bts log" estimated from the random log."""

    random: float
    bts: float
    ips: float
    snips: float
    ess: float
    low: float = 0.0
    high: float = 0.0
    rounds: int = 0


# What the same figures come to for these very files, known beforehand.
REFERENCE = Golden(random=0.00460, bts=0.00690, ips=0.00566, snips=0.00574, ess=2869.0)


class Round(msgspec.Struct, frozen=True):
    """One row of a log file. The log names nobody: `visitor` is the four user features and the day. `at` in ms."""

    policy: str
    row: int
    at: int
    item: int
    position: int
    propensity: float
    click: bool
    visitor: str


def rounds(policy: str, data: Path = DATA) -> Iterator[Round]:
    frame = pd.read_csv(data / f"obd_men_{policy}.csv.gz")
    times = pd.to_datetime(frame["timestamp"], utc=True, format="ISO8601").astype("int64") // 1_000_000
    visitors = frame[list(FEATURES)].agg("|".join, axis=1) + "|" + frame["timestamp"].str[:10]
    columns = (frame["item_id"], frame["position"], frame["propensity_score"], frame["click"])
    rows = zip(times, *columns, visitors, strict=True)
    for row, (at, item, position, propensity, click, visitor) in enumerate(rows):
        yield Round(policy, row, int(at), int(item), int(position), float(propensity), bool(click), str(visitor))


def action_of(item: int) -> str:
    return f"obd_item_{item:02d}"


def item_of(action_id: str) -> int:
    return int(action_id.rpartition("_")[2])


def record_of(one: Round, secret: bytes) -> DecisionRecord:
    """The round as a decision: the item shown with its logged propensity, the only candidate the log names. It has no
    vectors and no consent of ours, and says so in `spec_hash`, so that no training takes it for one of its own."""
    home = identifier_id(secret, "open_bandit_visitor", one.visitor)
    named = decision_id(home, one.at, f"{one.policy[:3]}{one.row:07d}".encode())
    action = {"action_id": action_of(one.item), "rank": 1, "propensity": one.propensity}
    return DecisionRecord(
        decision_id=named,
        at=one.at,
        profile_id=home,
        profile_version="",
        placement=f"{PLACEMENT}_{one.position}",
        context={},
        segment="imported",
        limit=1,
        visible={},
        candidates=(Candidate(action_of(one.item), 0.0, 1.0, 1.0, 1.0, True, ""),),
        vectors=b"",
        spec_hash=SPEC,
        cross=(),
        slate=((0, one.propensity, False),),
        blocked=(),
        consent={},
        consent_hash="",
        seed=0,
        model=f"{SOURCE}:{one.policy}",
        catalogue=SOURCE,
        policy={},
        positions=(),
        versions={"import": SOURCE},
        answer={"decision_id": named, "actions": [action], "blocked": []},
    )


def _outcome(record: DecisionRecord, one: Round, outcome: str) -> Event:
    action = action_of(one.item)
    return Event(
        message_id=outcome_id(record.decision_id, action, outcome),
        source=SOURCE,
        kind="outcome",
        name=outcome,
        at=one.at,
        received=one.at,
        home=record.profile_id,
        identifiers=(),
        properties={
            "decision_id": record.decision_id,
            "action_id": action,
            "category": "",
            "channel": "web",
            "group": "",
            "segment": record.segment,
            "placement": record.placement,
        },
    )


def events_of(one: Round, secret: bytes) -> Iterator[Event]:
    """The decision, that it was presented, and the click if there was one."""
    record = record_of(one, secret)
    yield msgspec.structs.replace(decision_event(record), source=SOURCE)
    yield _outcome(record, one, "presented")
    if one.click:
        yield _outcome(record, one, "clicked")


async def import_rounds(log: Log, made: Sequence[Round], secret: bytes) -> int:
    """Append rounds to the events log as decisions and outcomes; returns the number of events. Importing the same
    rounds again within a day changes nothing."""
    events = [event for one in made for event in events_of(one, secret)]
    for start in range(0, len(events), CHUNK):
        await log.append(events[start : start + CHUNK])
    return len(events)


def archived(table: pa.Table) -> tuple[list[DecisionRecord], Mapping[str, Sequence[Outcome]]]:
    """The imported decisions of an events table, and every outcome by decision id."""
    return [r for r in decisions_in(table) if r.spec_hash == SPEC], outcomes_in(table)


def is_complete(table: pa.Table, rounds_made: int) -> bool:
    """Whether the table holds that many imported decisions, each with its presentation."""
    records, outcomes = archived(table)
    return len(records) >= rounds_made and all(record.decision_id in outcomes for record in records)


class _Log(msgspec.Struct, frozen=True, eq=False):
    logs: Logs
    item: Any
    position: Any


def _log(records: Sequence[DecisionRecord], outcomes: Mapping[str, Sequence[Outcome]]) -> _Log:
    gains = [judge(outcomes.get(record.decision_id, ())).reward for record in records]
    logs = Logs(
        gain=np.asarray(gains),
        propensity=np.asarray([record.slate[0][1] for record in records]),
        cluster=[record.profile_id for record in records],
    )
    items = np.asarray([item_of(record.candidates[0].action_id) for record in records])
    return _Log(logs, items, np.asarray([int(r.placement.rpartition("_")[2]) - 1 for r in records]))


def golden(table: pa.Table) -> Golden:
    """The off-policy values, from archived decisions and outcomes alone."""
    records, outcomes = archived(table)
    random, bts = (_log([r for r in records if r.model == f"{SOURCE}:{p}"], outcomes) for p in POLICIES)
    counts = np.zeros((ITEMS, POSITIONS))
    np.add.at(counts, (bts.item, bts.position), 1.0)
    frequencies = counts / counts.sum(axis=0, keepdims=True)
    target = frequencies[random.item, random.position]
    value = estimate(random.logs, target)
    return Golden(
        random=float(random.logs.gain.mean()),
        bts=float(bts.logs.gain.mean()),
        ips=value.ips,
        snips=value.snips,
        ess=value.ess,
        low=value.interval.low,
        high=value.interval.high,
        rounds=len(records),
    )


def agrees(found: Golden) -> bool:
    """Whether the values are the reference ones: rates to five decimals, effective size to a whole number."""
    rates = ("random", "bts", "ips", "snips")
    close = all(abs(getattr(found, name) - getattr(REFERENCE, name)) < 0.000_005 + 1e-12 for name in rates)
    return close and round(found.ess) == REFERENCE.ess
