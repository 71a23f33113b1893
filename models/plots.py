"""Pictures of a model card: reliability, lift and importance, as PNG bytes. Knows nothing of models or files."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.scorer import Floats

BINS = 10
MOST_COLUMNS = 20
_INK, _ACCENT, _QUIET = "#1f2933", "#2563eb", "#9aa5b1"


def _axes(title: str, across: str, up: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(6.0, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, color=_INK, loc="left", fontsize=11)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    held = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(held, format="png", metadata={"Software": None})
    return held.getvalue()


def by_quantile(chances: Floats, rewards: Floats, bins: int = BINS) -> list[tuple[float, float, int]]:
    """Mean probability, mean reward and size of equally filled bins, from the least to the most likely."""
    order = np.argsort(chances, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [(float(chances[p].mean()), float(rewards[p].mean()), len(p)) for p in parts]


def reliability(chances: Floats, rewards: Floats) -> bytes:
    figure, axes = _axes("Reliability on decisions it never saw", "predicted probability", "observed rate")
    points = by_quantile(chances, rewards)
    most = max([max(x, y) for x, y, _ in points], default=1.0) * 1.05 or 1.0
    axes.plot([0, most], [0, most], color=_QUIET, linewidth=1, linestyle="--")
    axes.plot([x for x, _, _ in points], [y for _, y, _ in points], color=_ACCENT, marker="o")
    return _png(figure)


def lift(chances: Floats, rewards: Floats) -> bytes:
    figure, axes = _axes("Cumulative lift", "share of decisions, most likely first", "lift over the mean")
    ordered = rewards[np.argsort(-chances, kind="stable")]
    depth = np.arange(1, len(ordered) + 1)
    mean = float(rewards.mean()) if len(rewards) and rewards.mean() > 0 else 1.0
    axes.axhline(1.0, color=_QUIET, linewidth=1, linestyle="--")
    axes.plot(depth / max(len(ordered), 1), np.cumsum(ordered) / depth / mean, color=_ACCENT)
    return _png(figure)


def importance(gains: Mapping[str, float]) -> bytes:
    figure, axes = _axes("What it looks at", "share of total gain", "")
    total = sum(gains.values()) or 1.0
    top = list(gains.items())[:MOST_COLUMNS][::-1]
    axes.barh([name for name, _ in top], [gain / total for _, gain in top], color=_ACCENT)
    axes.tick_params(axis="y", labelsize=7)
    return _png(figure)
