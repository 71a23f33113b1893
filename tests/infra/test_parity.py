"""Law 7: refolding the archive to the recorded positions gives the values that were used, and where a feature's code
changed in between, that feature is found and named."""

import os
import random
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from api.metrics import exposition, note_parity
from engine.decision_id import decision_id
from engine.events import Event
from engine.records import DecisionRecord, Record, decision_event, encode
from features.spec import COLUMNS, INDEX
from infra.archive import Archive
from infra.archive_parity import sampled_decisions
from infra.model_store import ModelStore
from infra.parity import NOT_ARCHIVED, Sample, measure
from infra.redis_store_stream import TailEntry
from infra.replaying import open_past
from infra.rules_store import RulesStore
from infra.settings import Settings
from models.parity import blocking
from models.replay import replay
from models.serving import Ask, Setting, decide
from tests.api.world import ADMIN, WRITE, Rig

EVENTS = ("Order Completed", "Product Viewed", "Support Contact", "Complaint Filed", "Session Started")
HOUR = 3_600_000
# eight decisions each; ten thousand are looked at where RAPPORT_HYPOTHESIS is thorough
PEOPLE, SAMPLED = (1250, 10_000) if os.environ.get("RAPPORT_HYPOTHESIS") == "thorough" else (25, 150)
Changed = Callable[[DecisionRecord], DecisionRecord]


def said(draw: random.Random, user: int) -> dict[str, Any]:
    """An event of somebody; now and then one that links them to a browser seen before."""
    who: dict[str, Any] = {"userId": f"u-{user}"} if draw.random() < 0.7 else {"anonymousId": f"a-{user}"}
    if draw.random() < 0.15:
        who = {"userId": f"u-{user}", "anonymousId": f"a-{user}"}
    if draw.random() < 0.3:
        traits = {"plan": draw.choice(("basic", "premium")), "age": draw.randint(18, 90), "country": "DE"}
        return {**who, "type": "identify", "traits": traits} if "userId" in who else {**who, "type": "page"}
    details = {"category": draw.choice(("tv", "internet")), "revenue": draw.random() * 90, "channel": "voice"}
    return {**who, "type": "track", "event": draw.choice(EVENTS), "properties": details}


async def lived(rig: Rig, people: int, changed: Changed = lambda record: record) -> None:
    """People do things, agree, withdraw and are decided about, all mixed up."""
    draw = random.Random(11)
    async with rig.client(ADMIN) as client:
        for _ in range(people * 8):
            rig.clock.at += draw.randint(1, 5 * HOUR)
            batch = [said(draw, draw.randrange(people)) for _ in range(3)]
            await client.post("/v1/batch", json={"batch": batch}, auth=(WRITE, ""))
            reference = f"user_id:u-{draw.randrange(people)}"
            if draw.random() < 0.3:
                tag = (await client.get(f"/v1/profiles/{reference}/consent")).headers["etag"]
                body = {"purposes": {"personalization": draw.random() < 0.7, "analytics": draw.random() < 0.7}}
                await client.patch(f"/v1/profiles/{reference}/consent", json=body, headers={"If-Match": tag})
            await rig.log.append_now(decision_event(changed(await decided(rig, reference, draw))))


async def decided(rig: Rig, reference: str, draw: random.Random) -> DecisionRecord:
    view = await rig.world.people.person(rig.id_of(reference))
    named = decision_id(view.profile_id, rig.clock(), draw.randbytes(10))
    current = rig.world.now
    context = {"reason": draw.choice(("billing", "cancel"))}
    return decide(
        Ask(view, "agent_desktop", context, named, rig.clock()),
        Setting(current.catalogue, current.purposes, rig.world.live_model.current(), {}),
    )


def archived(rig: Rig, home: Path) -> Settings:
    """The history of the world in memory as the archiver writes it."""
    settings = Settings(data_dir=home)
    entries = [TailEntry(position, at, raw) for position, at, raw in _records(rig)]
    Archive(settings.archive).append(entries)
    current = rig.world.now
    RulesStore(settings.rules_dir).keep(current.catalogue, current.purposes)
    return settings


def _records(rig: Rig) -> list[tuple[Any, int, bytes]]:
    # one record per partition and moment, as a worker would have applied it
    made = []
    ordered = sorted(rig.state.history, key=lambda one: (one.position, one.index))
    for position, group in groupby(ordered, key=lambda one: one.position):
        applied = list(group)
        events: tuple[Event, ...] = tuple(one.event for one in applied)
        made.append((position, applied[0].applied, encode(Record("1", applied[0].applied, events))))
    return made


async def test_what_was_used_is_what_the_archive_gives(tmp_path: Path) -> None:
    rig = Rig()
    await lived(rig, PEOPLE)
    settings = archived(rig, tmp_path)
    found = measure(settings, rig.clock(), Sample(SAMPLED))
    assert (found.decisions, found.left_out, found.above(0.0)) == (SAMPLED, {}, {})
    assert found.features["trait_age"].compared > 3 * SAMPLED
    assert ModelStore(tmp_path / "models").parity() == found
    past = open_past(settings)
    assert all(replay(one, past).identical for one in sampled_decisions(settings.archive, SAMPLED, "", 0))
    assert blocking(found, dict.fromkeys(COLUMNS, "")) == ""


def from_one(record: DecisionRecord) -> DecisionRecord:
    """The decision as code would have logged it that counts today as day one."""
    rows = np.frombuffer(record.vectors, dtype="<f4").reshape(-1, len(COLUMNS)).copy()
    rows[:, INDEX["known_days"]] += 1
    return msgspec.structs.replace(record, vectors=rows.tobytes())


async def test_a_change_in_one_feature_is_found_and_named(tmp_path: Path) -> None:
    rig = Rig()
    await lived(rig, 12, from_one)
    found = measure(archived(rig, tmp_path), rig.clock())
    worst = found.above()
    assert list(worst) == ["known_days"]
    assert found.features["known_days"].ratio >= 0.95
    assert "known_days" in blocking(found, {"known_days": "", "hour": ""})
    assert blocking(found, {"hour": ""}) == ""
    note_parity(found)
    assert f'rapport_parity_mismatch_ratio{{feature="known_days"}} {worst["known_days"]}' in exposition().decode()


async def test_what_is_not_archived_is_left_out_and_counted(tmp_path: Path) -> None:
    rig = Rig()
    await lived(rig, 6)
    lost = rig.state.history[0].event.home
    rig.state.history[:] = [one for one in rig.state.history if one.event.home != lost or one.event.kind == "decision"]
    found = measure(archived(rig, tmp_path), rig.clock())
    assert found.left_out[NOT_ARCHIVED] > 0
    assert found.above(0.0) == {}


def test_nothing_archived_is_nothing_measured(tmp_path: Path) -> None:
    found = measure(Settings(data_dir=tmp_path), 1)
    assert (found.decisions, found.above(0.0)) == (0, {})
    assert blocking(None, {}) == ""


@pytest.mark.parametrize("count", [1, 7])
async def test_a_sample_is_as_large_as_asked_and_the_same_again(tmp_path: Path, count: int) -> None:
    rig = Rig()
    await lived(rig, 4)
    settings = archived(rig, tmp_path)
    first, again = (measure(settings, 1, Sample(count, seed="s")) for _ in range(2))
    assert first == again
    assert first.decisions == count


async def test_an_archive_without_decisions_is_nothing_measured(tmp_path: Path) -> None:
    rig = Rig()
    async with rig.client() as client:
        await client.post("/v1/batch", json={"batch": [{"userId": "u-1", "type": "page"}]}, auth=(WRITE, ""))
    assert measure(archived(rig, tmp_path), 1).decisions == 0
