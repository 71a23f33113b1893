"""The pictures of the demonstration's report as PNG. Draws what it is given and states no result of its own."""

from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from infra.demo.closed_loop import Curve
from infra.demo.open_bandit import REFERENCE, Golden
from infra.demo.truth import Flags, Floats

BLOCKS = 40
INK, BLUE, ORANGE, GREEN, GREY, LINE = "#1f2933", "#2563eb", "#d97706", "#15803d", "#64748b", "#e2e8f0"


def _axes(across: str, up: str, height: float = 4.4) -> tuple[Figure, Any]:
    figure = Figure(figsize=(9.2, height), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(across, color=INK)
    axes.set_ylabel(up, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=LINE)
    axes.set_axisbelow(True)
    return figure, axes


def _png(figure: Figure) -> bytes:
    held = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(held, format="png", metadata={"Software": None})
    return held.getvalue()


def _blocks(values: Floats, among: Flags, edges: Sequence[int]) -> Floats:
    """The mean of the chosen values in each block per 100 decisions; NaN where a block has fewer than 20 of them."""
    parts = [values[a:b][among[a:b]] for a, b in pairwise(edges)]
    return np.asarray([100.0 * part.mean() if len(part) >= 20 else np.nan for part in parts])


def climb(curve: Curve, judged_from: int) -> bytes:
    """Reward per 100 decisions over time: the desk, the pilot screens, and what uniform and the oracle would earn."""
    count = len(curve.expected)
    edges = np.linspace(0, count, BLOCKS + 1).astype(int).tolist()
    middle = (np.asarray(edges[1:]) + np.asarray(edges[:-1])) / 2
    every = np.ones(count, np.bool_)
    figure, axes = _axes("decisions made", "reward per 100 decisions (simulated)")
    axes.axvspan(judged_from, count, color="#eff6ff", zorder=0)
    axes.plot(
        middle, _blocks(curve.oracle, every, edges), color=GREEN, lw=1.5, ls="--", label="oracle (knows the truth)"
    )
    axes.plot(middle, _blocks(curve.expected, ~curve.pilot, edges), color=BLUE, lw=2.6, label="agent desk")
    axes.plot(
        middle,
        _blocks(curve.expected, curve.pilot, edges),
        color=ORANGE,
        lw=1.8,
        label="pilot screens (explore much)",
    )
    axes.plot(middle, _blocks(curve.uniform, every, edges), color=GREY, lw=1.5, ls="--", label="uniform draw")
    for one in curve.trained:
        axes.axvline(
            one.decisions, color=BLUE if one.promoted else GREY, lw=0.9, ls="-" if one.promoted else ":", alpha=0.6
        )
    axes.set_xlim(0, count)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="center right", fontsize=9)
    axes.set_title("solid line: a model was promoted; dotted: the gate refused it", loc="left", color=GREY, fontsize=9)
    return _png(figure)


def revenues(pairs: Sequence[tuple[int, int]]) -> bytes:
    """Each customer's revenue in the profile over the same in pandas, in money units."""
    figure, axes = _axes("sum of purchases in pandas (USD)", "revenue in the profile (USD)")
    wanted, found = (np.asarray(side) / 100.0 for side in zip(*pairs, strict=True))
    axes.plot([0.0, wanted.max()], [0.0, wanted.max()], color=GREEN, lw=1.0)
    axes.scatter(wanted, found, s=9, color=BLUE, alpha=0.45, linewidths=0)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_yscale("symlog", linthresh=10)
    return _png(figure)


def off_policy(found: Golden) -> bytes:
    """The off-policy values beside the reference, with the interval of the bootstrap over visitors."""
    figure, axes = _axes("click rate", "", height=2.8)
    names = ("mean of the random log", "mean of the bts log", "bts frequencies by IPS", "bts frequencies by SNIPS")
    ours = (found.random, found.bts, found.ips, found.snips)
    reference = (REFERENCE.random, REFERENCE.bts, REFERENCE.ips, REFERENCE.snips)
    places = np.arange(len(names))[::-1]
    axes.hlines(places[-1], found.low, found.high, color=BLUE, lw=5, alpha=0.2)
    axes.scatter(reference, places, marker="|", s=420, color=GREEN, label="reference", zorder=2)
    axes.scatter(ours, places, s=40, color=BLUE, label="from our archive", zorder=3)
    axes.set_yticks(places, names)
    axes.grid(axis="y", visible=False)
    axes.legend(frameon=False, fontsize=9)
    return _png(figure)
