"""What is being tried, over HTTP and on the console."""

import dataclasses
from pathlib import Path

import msgspec
import pytest

from engine.experiment import CONTROL, ENGINE
from engine.signals import DAY
from infra.model_store import ModelStore
from models.trial import RESTRICTED, Entry, Scope, findings
from tests.api.trying import try_out
from tests.api.world import ADMIN, AGENT, NOW, Rig

VARIANTS = [{"id": "off", "share": 0.5}, {"id": "on", "share": 0.5}]


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    try_out(made, control={"share": 0.5}, experiments=[{"id": "x", "title": "Does it help?", "variants": VARIANTS}])
    return made


def measure(rig: Rig) -> None:
    """A crowd that responds only to the engine."""
    arms = (CONTROL, ENGINE)
    entries = [Entry(f"p{n}", NOW + n, arms[n % 2], float(n % 2 and n % 3 == 0)) for n in range(1000)]
    entries += [Entry(f"r{n}", NOW, RESTRICTED, 0.0) for n in range(3)]
    scope = Scope(NOW + 100 * DAY, DAY)
    rig.findings.found = findings(rig.configuration.current.allocation.plan, {CONTROL: entries}, 1000, scope)


async def test_before_anything_was_measured_there_are_arms_without_people(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        body = (await client.get("/v1/experiments")).json()
    assert body["measured_at"] is None
    assert [one["experiment"] for one in body["experiments"]] == ["control", "x"]
    assert [(arm["arm"], arm["dealt"]) for arm in body["experiments"][1]["arms"]] == [("off", 0), ("on", 0)]


async def test_what_was_found_is_shown(rig: Rig) -> None:
    measure(rig)
    async with rig.client(ADMIN) as client:
        found = (await client.get("/v1/experiments/control")).json()
        assert (await client.get("/v1/experiments")).json()["experiments"][0] == found
    engine = next(arm for arm in found["arms"] if arm["arm"] == "engine")
    assert (engine["judged"], engine["verdict"]) == (500, "better")
    assert 0 < engine["low"] < engine["effect"] < engine["high"]
    assert "better" in found["text"]


async def test_findings_of_other_arms_are_not_shown(rig: Rig) -> None:
    measure(rig)
    try_out(rig, control={"share": 0.4})
    async with rig.client(ADMIN) as client:
        found = (await client.get("/v1/experiments/control")).json()
    assert {arm["judged"] for arm in found["arms"]} == {0}


async def test_an_unknown_one_is_not_found_and_an_agent_may_not_look(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        answer = await client.get("/v1/experiments/y")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_experiment")
    async with rig.client(AGENT) as client:
        assert (await client.get("/v1/experiments")).status_code == 403


async def test_the_console_shows_what_was_found(rig: Rig, tmp_path: Path) -> None:
    rig.world = dataclasses.replace(rig.world, models=ModelStore(tmp_path))
    measure(rig)
    async with rig.client() as page:
        await page.post("/sign-in", data={"key": ADMIN, "next": "/console"})
        shown = (await page.get("/console")).text
        assert "The engine against the control group" in shown
        assert "better" in shown
        assert "Outside: 3 restriction." in shown
        assert "Does it help?" in shown
        try_out(rig)
        assert "Nothing is being tried" in (await page.get("/console")).text


def test_findings_survive_their_file() -> None:
    made = Rig()
    try_out(made, control={"share": 0.5})
    measure(made)
    found = made.findings.found
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found
