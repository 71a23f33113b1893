"""Health, readiness and measurements."""

import os
import shutil
import subprocess

import pytest

from tests.api.world import WRITE, Rig


async def test_alive_and_ready() -> None:
    async with Rig().client() as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "problems": {}})


async def test_a_part_that_does_not_answer_makes_it_unready_and_is_named() -> None:
    rig = Rig()
    rig.health.found = {"redis": "does not answer", "kafka": ""}
    rig.configuration.problem = "catalogue.yaml:3: unknown field"
    async with rig.client() as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["problems"] == {"redis": "does not answer", "configuration": "catalogue.yaml:3: unknown field"}


async def test_a_warning_is_told_and_keeps_nobody_from_serving() -> None:
    rig = Rig()
    rig.health.warned = {"rules": "the state was made with other rules (identity.yaml); run `rapport replay --switch`"}
    async with rig.client() as client:
        ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ok", "problems": {}, "warnings": rig.health.warned}


async def measured() -> str:
    async with Rig().client(WRITE) as client:
        await client.post("/v1/batch", json={"batch": [{"type": "track", "event": "Ping", "userId": "u-1"}, 3]})
        await client.get("/v1/profiles/email:ann@example.org")
        await client.get("/no/such/path/ann@example.org")
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


async def test_measurements_count_events_and_name_templates_only() -> None:
    text = await measured()
    assert 'rapport_events_accepted_total{source="shop"}' in text
    assert 'rapport_events_rejected_total{code="not_an_object",source="shop"}' in text
    assert 'route="/v1/batch"' in text
    assert 'route="unmatched"' in text
    assert "ann@" not in text


async def test_promtool_finds_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
        give_up("promtool is missing: install Debian's prometheus package")
    text = await measured()
    ran = subprocess.run([str(promtool), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
