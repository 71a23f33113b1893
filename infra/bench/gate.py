"""Whether the gate promotes who is better and refuses the others, and with which word: challengers whose true worth is
known on panels of real choices, and one candidate for each reason to refuse. Knows the gate as anybody who asks it."""

import asyncio
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np

from engine.catalog import Exploration
from features.spec import COLUMNS, Feature
from infra.bench.bed import Place
from infra.bench.figures import Row, Say, Target
from infra.bench.panels import GREEDY, NAMES, Bandit, Floats, Panel, distribution, learnt, load_panel, redrawn, usual
from models.evaluate import Comparison
from models.evidence import compared
from models.leakage import leaking
from models.parity import Parity, Rate, blocking
from models.registry import Card, Period, judge_promotion
from models.scorer import SPEC_OF
from models.train import GATE_METHOD

BETTER, EQUAL = 10, 50
LIFT = 0.10
TRIED = 0.10
UNIFORM = Exploration("uniform")
HARDLY = Exploration("epsilon", 0.015)
HOUR = "hour"


class Changed(msgspec.Struct, frozen=True):
    """How a challenger differs from the champion: the share of choices that only it gets right, the share that only the
    champion gets right, and the share in which both are wrong with different brands."""

    won: float
    lost: float
    other: float = TRIED


def challenger_of(panel: Panel, champion: Floats, how: Changed, seed: int) -> Floats:
    """A policy that differs from the champion in these shares of all choices, in choices drawn by the seed."""
    draw, brands = np.random.default_rng((seed, 11)), len(panel.brands)
    shows = champion.argmax(axis=1)
    right, wrong = (draw.permutation(np.flatnonzero(found)) for found in (shows == panel.choice, shows != panel.choice))
    won, lost, other = (round(share * len(panel)) for share in (how.won, how.lost, how.other))
    shown = shows.copy()
    shown[wrong[:won]] = panel.choice[wrong[:won]]
    shown[right[:lost]] = (shows[right[:lost]] + draw.integers(1, brands, lost)) % brands
    rest = wrong[won : won + other]
    # neither the champion's nor the chosen one
    shown[rest] = [min(set(range(brands)) - {shows[at], panel.choice[at]}) for at in rest.tolist()]
    made: Floats = np.eye(brands)[shown]
    return made


def card_of_nobody() -> Card:
    """The card of a model with nothing to be said against."""
    return Card(
        version="bench",
        created=0,
        data=Period(0, 0),
        judged_from=0,
        window=0,
        counts={},
        left_out={},
        metrics={"ece": 0.02},
        policy={},
        columns={HOUR: SPEC_OF[HOUR]},
        spec_hash="",
        importance={},
        parameters={},
        trees=1,
        calibration="none",
        libraries={},
    )


def champion_of(panel: Panel) -> Floats:
    return distribution(usual(panel), GREEDY)


def heard(panel: Panel, how: Changed, seed: int, logging: Exploration = UNIFORM) -> Comparison:
    """What one log of the panel says about one such challenger."""
    champion, expected = champion_of(panel), learnt(panel)
    made = challenger_of(panel, champion, how, seed)
    bandit = Bandit(panel, distribution(usual(panel), logging), made, champion, expected)
    return compared(redrawn(bandit, (seed, 12)), GATE_METHOD)


def better(panel: Panel) -> Changed:
    """Ten per cent more of what the champion is worth."""
    worth = float((champion_of(panel) * panel.chosen).sum(axis=1).mean())
    return Changed(0.03 + LIFT * worth, 0.03)


def promoted(panel: Panel, how: Changed, count: int, say: Say) -> Counter[str]:
    """What the gate said of `count` challengers, each on a log of its own, by code."""
    card, codes = card_of_nobody(), Counter[str]()
    for seed in range(count):
        say(f"gate: {panel.name}, {seed + 1} of {count}")
        codes[judge_promotion(card, heard(panel, how, seed)).code] += 1
    return codes


def refusals(panel: Panel) -> dict[str, str]:
    """What the gate says of a candidate that must be refused, by the reason it must give."""
    good, card = heard(panel, better(panel), 1), card_of_nobody()
    worse = heard(panel, Changed(0.03, 0.09), 1)
    hardly = heard(panel, better(panel), 1, HARDLY)
    return {
        "not_better": judge_promotion(card, worse).code,
        "leaking_feature": judge_promotion(msgspec.structs.replace(card, leaks=_leaks(panel)), good).code,
        "parity": _skewed(card, good),
        "too_little_evidence": judge_promotion(card, hardly).code,
        "protected_attribute": judge_promotion(_using(card, "trait_age"), good).code,
    }


def _using(card: Card, column: str) -> Card:
    return msgspec.structs.replace(card, columns={column: SPEC_OF[column]})


def _leaks(panel: Panel) -> dict[str, str]:
    """What is found where one column was written after the choice."""
    known = (panel.choice == 0).astype(np.float64)
    after = known + np.random.default_rng(3).normal(0.0, 0.2, len(panel))
    rows = np.stack([after, panel.offers[:, -1]], axis=1).astype(np.float32)
    named = tuple(Feature(name, "profile", "total", name, "service", name) for name in ("written_later", "price"))
    return leaking(rows, known, named)


def _skewed(card: Card, comparison: Comparison) -> str:
    """What becomes of a verdict where one value in fifty that the model uses is not the archive's."""
    verdict = judge_promotion(card, comparison)
    found = Parity(0, 300, {}, {name: Rate(300, 6 if name == HOUR else 0, ()) for name in COLUMNS})
    return "parity" if verdict.promote and blocking(found, card.columns) else verdict.code


async def run(place: Place, say: Say, _config: Path) -> list[Row]:
    """Better, equal and inadmissible challengers on both panels."""
    return await asyncio.to_thread(_run, 5 if place.quick else 1, say)


def _run(part: int, say: Say) -> list[Row]:
    panels = [load_panel(name) for name in NAMES]
    lifted, same = Counter[str](), Counter[str]()
    for panel in panels:
        lifted += promoted(panel, better(panel), BETTER // part, say)
        same += promoted(panel, Changed(0.06, 0.06), EQUAL // part, say)
    said = [(panel.name, wanted, code) for panel in panels for wanted, code in refusals(panel).items()]
    wrong = [f"{name}: {wanted} came out as {code}" for name, wanted, code in said if wanted != code]
    return [
        _row("challengers 10 % better, promoted", lifted, Target(0.8)),
        _row("challengers as good, promoted", same, Target(0.05, most=True)),
        Row(
            "gate",
            "refused for another reason",
            len(wrong),
            "candidates",
            target=Target(0, most=True),
            note="; ".join(wrong),
        ),
    ]


def _row(name: str, codes: Counter[str], target: Target) -> Row:
    note = ", ".join(f"{count} {code}" for code, count in codes.most_common())
    return Row("gate", name, codes["better"] / codes.total(), "share", target=target, note=note)
