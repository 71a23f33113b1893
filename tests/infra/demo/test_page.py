"""The report: every part shows its figures, a part that was not run is left out, and the simulator says what it is."""

from pathlib import Path

import numpy as np
import pytest

from infra.demo.cdnow import Compared, Replayed, Summary
from infra.demo.closed_loop import Curve, Plan, Trained, percent
from infra.demo.open_bandit import REFERENCE
from infra.demo.page import Report, Simulated, render, write
from infra.demo.simulator_card import Card

PLAN = Plan(4, 400, 100, ((0, 1.0), (200, 0.0)), (200,), 300)


def simulated() -> Simulated:
    rising = np.linspace(1.0, 9.0, 400)
    trained = (Trained(200, "m1", True, "Better."), Trained(300, "m2", False, "Not surely better <than> it."))
    places = np.zeros(400, dtype=np.int64)
    curve = Curve(rising, np.ones(400), np.full(400, 11.0), rising, places, places, np.arange(400) < 200, trained)
    return Simulated(PLAN, curve, Card(4, 100, 17.0, 100.0, 300.0, 600.0, 1100.0))


def replayed() -> Replayed:
    right = Summary(2, 5967, "1998-01-02")
    return Replayed(2, (Compared("00004", right, right),), 0.5)


def test_the_whole_report(tmp_path: Path) -> None:
    page = write(Report("today", "http://localhost:8000", replayed(), REFERENCE, simulated()), tmp_path / "demo")
    text = page.read_text(encoding="utf-8")
    for name in ("cdnow.png", "open_bandit.png", "closed_loop.png"):
        assert (page.parent / name).read_bytes().startswith(b"\x89PNG")
        assert name in text
    assert "all equal" in text
    assert "as it should be" in text
    assert text.count("simulator") >= 3
    assert "59.67" in text
    assert "0.00574" in text
    assert f"{percent(simulated().curve, 300, 400):.1f} %" in text
    assert "Not surely better &lt;than&gt; it." in text


def test_a_part_that_was_not_run_is_left_out() -> None:
    text = render(Report("today", "http://localhost:8000", cdnow=replayed()))
    assert "cdnow.png" in text
    assert "open_bandit.png" not in text
    assert "closed_loop.png" not in text


def test_a_wrong_profile_is_not_hidden() -> None:
    right = Summary(2, 5967, "1998-01-02")
    text = render(Report("today", "here", Replayed(2, (Compared("1", right, None),), 0.5)))
    assert "1 differ" in text
    assert Report("today", "here", Replayed(2, (Compared("1", right, None),), 0.5)).problems == [
        "1 profiles differ from pandas"
    ]
    assert Report("today", "here", replayed(), REFERENCE, simulated()).problems == []
    assert "all equal" not in text


def test_the_card_measures_from_uniform_to_oracle() -> None:
    card = simulated().card
    assert card.percent(card.uniform) == 0.0
    assert card.percent(card.oracle) == 100.0
    assert card.percent(card.constant) == pytest.approx(20.0)
    assert card.is_hard_enough
