"""The console and /metrics show what became of the decisions; where there is nothing, a sentence says so."""

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from api.watch_view import HEIGHT, length_said, polylines
from infra.model_store import ModelStore
from models.watched import ActionFound, DriftFound, Watched, WindowFound
from tests.api.test_pages import sign_in
from tests.api.world import ADMIN, NOW, Rig

HOUR = 3_600_000
FOUND = Watched(
    at=NOW,
    model="m1",
    window=HOUR,
    length=HOUR,
    decisions=400,
    windows=(
        WindowFound(NOW - 3 * HOUR, 200, 20, 0, 150, 0.2, 0.22, 0.14, 0.31),
        WindowFound(NOW - 2 * HOUR, 150, 10, 0, 140, 0.2, 0.45, 0.34, 0.56),
        WindowFound(NOW - HOUR, 50, 5, 50, 0),
    ),
    against="training window",
    reference_rows=900,
    score=DriftFound("score", (0.02, 0.05, None), 0.05, 0.1, "steady"),
    drift=(
        DriftFound("trait_age", (0.02, 0.8, None), 0.8, 0.1, "shifted"),
        DriftFound("trait_plan", (0.01, 0.02, None), 0.02, 0.1, "steady"),
    ),
    actions=(ActionFound("call_back", 300, 200, 0.2, 0.3, 0.22, 0.39), ActionFound("<gone>", 100, 0)),
    left_out={"nothing presented": 60},
)


async def console(found: Watched | None, home: Path) -> str:
    store = ModelStore(home)
    if found is not None:
        store.keep_watched(found)
    async with Rig(models=store).client() as page:
        await sign_in(page, ADMIN, "/console")
        answer = await page.get("/console")
    assert answer.status_code == 200
    return answer.text


async def test_the_console_draws_it_and_has_every_figure_as_text(tmp_path: Path) -> None:
    text = await console(FOUND, tmp_path)
    for said in (
        *(
            "Spread otherwise than in the training window: trait_age (0.80)",
            "Calibration is off: 45.0% responded where 20.0% were expected",
        ),
        *(
            "training window",
            "900 rows",
            "0.800",
            "shifted",
            "22.0% to 39.0%",
            "Arrange a call-back",
            "60 nothing presented",
        ),
        *("&lt;gone&gt;", "not judged yet", "50 decisions are still open", "windows of 1 hour"),
    ):
        assert said in text
    assert "style=" not in text
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawn) == 2 + 3 + 1
    for one in drawn:
        parsed = ET.fromstring(one)
        assert parsed.get("aria-hidden") == "true" or parsed.get("aria-label")
        assert parsed.get("viewBox")


async def test_where_nobody_looked_or_nothing_was_found_it_says_so(tmp_path: Path) -> None:
    assert "Nobody has looked yet" in await console(None, tmp_path / "a")
    assert "no decision in that time" in await console(Watched(NOW, "prior", HOUR, HOUR, 0), tmp_path / "b")
    few = Watched(NOW, "prior", 0, HOUR, 3, (WindowFound(NOW, 3, 0, 0, 0),), left_out={"nothing presented": 3})
    told = await console(few, tmp_path / "c")
    assert "Too few decisions to say anything" in told
    assert "No decision has been judged" in told
    assert "No slate held an action" in told
    assert "no time at all" in told


async def metrics(found: Watched, home: Path) -> str:
    store = ModelStore(home)
    store.keep_watched(found)
    async with Rig(models=store).client() as client:
        return (await client.get("/metrics")).text


async def test_metrics_have_it_and_forget_what_is_no_more(tmp_path: Path) -> None:
    text = await metrics(FOUND, tmp_path)
    for line in (
        'rapport_feature_psi{feature="trait_age"} 0.8',
        "rapport_score_psi 0.05",
        'rapport_response_ratio{figure="expected"} 0.2',
        'rapport_response_ratio{figure="observed"} 0.45',
        'rapport_action_response_ratio{action="call_back"} 0.3',
        'rapport_action_judged_decisions{action="<gone>"} 0.0',
        "rapport_open_decisions 50.0",
        "rapport_exploration_ratio 0.0875",
        "rapport_watch_alarms 2.0",
        "rapport_watch_timestamp_seconds 1.79e+09",
    ):
        assert f"\n{line}\n" in text
    later = await metrics(msgspec.structs.replace(FOUND, drift=(), actions=()), tmp_path)
    assert "trait_age" not in later
    assert "call_back" not in later


async def test_promtool_finds_nothing_to_say_about_it(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
        give_up("promtool is missing: install Debian's prometheus package")
    text = await metrics(FOUND, tmp_path)
    ran = subprocess.run([str(promtool), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_a_line_breaks_where_nothing_is_known_and_stays_in_its_box() -> None:
    lines = polylines((0.0, 1.0, None, 5.0), 1.0, (40.0, HEIGHT))
    assert lines == (f"5.0,{HEIGHT} 15.0,0.0", "32.0,0.0 38.0,0.0")
    assert polylines((), 1.0, (40.0, HEIGHT)) == ()


@pytest.mark.parametrize(
    ("milliseconds", "said"), [(86_400_000, "1 day"), (604_800_000, "7 days"), (1_800_000, "30 minutes"), (9, "9 ms")]
)
def test_a_length_is_said_in_words(milliseconds: int, said: str) -> None:
    assert length_said(milliseconds) == said
