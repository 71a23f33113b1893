"""The proofs on panels in small, on a made-up panel: the truth is a sum, intervals hold it about as often as they say,
and the gate promotes and refuses as it must."""

import numpy as np
import pandas as pd
import pytest

from infra.bench.coverage import INTERVALS, bandit_of, covered
from infra.bench.gate import HARDLY, Changed, better, challenger_of, champion_of, heard, promoted, refusals
from infra.bench.panels import LOGGING, NoData, Panel, load_panel, panel_of, redrawn

BRANDS = ("ash", "birch", "cedar", "elm")


def made_up(households: int = 120, each: int = 20) -> Panel:
    """Households that mostly take their favourite and now and then what is cheapest."""
    draw, count = np.random.default_rng(8), households * each
    favourite = np.repeat(draw.integers(0, 4, households), each)
    prices = draw.normal(100.0, 15.0, (count, 4)).round()
    choice = np.where(draw.random(count) < 0.5, favourite, prices.argmin(axis=1))
    frame = pd.DataFrame({"id": np.repeat(np.arange(households), each), "choice": [BRANDS[at] for at in choice]})
    for at, brand in enumerate(BRANDS):
        frame[f"disp.{brand}"], frame[f"feat.{brand}"] = draw.integers(0, 2, count), 0
        frame[f"price.{brand}"] = prices[:, at]
    return panel_of("made-up", frame)


PANEL = made_up()


def test_a_panel_knows_what_was_chosen_before() -> None:
    assert (PANEL.brands, len(PANEL), PANEL.offers.shape) == (BRANDS, 2400, (2400, 12))
    first = np.flatnonzero(PANEL.household == 3)[0]
    assert PANEL.before[first] == -1
    assert PANEL.before[first + 1] == PANEL.choice[first]


@pytest.mark.parametrize("logging", LOGGING)
def test_a_log_is_drawn_as_its_propensities_say(logging: str) -> None:
    bandit = bandit_of(PANEL, logging)
    assert bandit.logging.sum(axis=1) == pytest.approx(np.ones(2400))
    drawn = redrawn(bandit, (1,))
    numbers = drawn.numbers
    assert len(drawn) == 2400
    # the weights of a policy that puts its whole mass on one brand are 1 on average
    assert (numbers["challenger"] / numbers["propensity"]).mean() == pytest.approx(1.0, abs=0.15)
    assert numbers["gain"].mean() == pytest.approx((bandit.logging * PANEL.chosen).sum(axis=1).mean(), abs=0.06)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    found = covered(bandit_of(PANEL, "epsilon"), 60, resamples=200)
    assert set(found) == set(INTERVALS)
    assert all(85.0 <= share <= 100.0 for share in found.values())


def test_a_challenger_is_worth_what_it_is_made_for() -> None:
    champion = champion_of(PANEL)
    chosen = PANEL.chosen
    old = (champion * chosen).sum(axis=1).mean()
    lifted = (challenger_of(PANEL, champion, better(PANEL), 4) * chosen).sum(axis=1).mean()
    same = challenger_of(PANEL, champion, Changed(0.06, 0.06), 4)
    assert lifted == pytest.approx(1.1 * old, abs=0.001)
    assert (same * chosen).sum(axis=1).mean() == pytest.approx(old)
    assert 0.5 * np.abs(same - champion).sum(axis=1).mean() == pytest.approx(0.22, abs=0.001)


def test_better_ones_are_promoted_and_equal_ones_hardly_ever() -> None:
    lifted = promoted(PANEL, better(PANEL), 5, lambda _: None)
    same = promoted(PANEL, Changed(0.06, 0.06), 10, lambda _: None)
    assert lifted["better"] >= 4
    assert same["better"] <= 1


def test_who_must_be_refused_is_refused_for_the_right_reason() -> None:
    found = refusals(PANEL)
    assert found == {code: code for code in found}
    assert set(found) >= {"not_better", "leaking_feature", "parity", "too_little_evidence", "protected_attribute"}


def test_a_log_that_hardly_explored_is_worth_a_few_decisions() -> None:
    assert 0.5 < heard(PANEL, better(PANEL), 1, HARDLY).ess < 8.0


def test_without_the_files_it_says_where_they_are_looked_for() -> None:
    with pytest.raises(NoData, match="RAPPORT_EVAL_DATA"):
        load_panel("mustard")
