"""What became of the decisions, as the console draws it: points of plots in a square of their own and the same figures
as text. Measures nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from api.answers import iso
from api.deps import World
from api.models_view import shelf_of
from models.drift import MOVES, MOVING, SHIFTED, SHIFTS, TOO_FEW
from models.watched import LEVEL, ActionFound, DriftFound, Watched, WindowFound

MOST_COLUMNS = 8
WIDTH, HEIGHT = 320.0, 120.0
SPARK_WIDTH, SPARK_HEIGHT = 120.0, 24.0
_TAGS = {SHIFTS: "bad", MOVES: "warn", TOO_FEW: ""}
_LENGTHS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second"))


class Plot(msgspec.Struct, frozen=True):
    """One line over the windows: `lines` are polylines (broken where nothing is known), `bars` upright spans (x, top,
    bottom), `dots` (x, y), each in a box of WIDTH by HEIGHT; `top` is what the upper edge stands for."""

    lines: tuple[str, ...]
    bars: tuple[tuple[float, float, float], ...] = ()
    dots: tuple[tuple[float, float], ...] = ()
    top: float = 1.0


def watch_values(world: World) -> dict[str, Any] | None:
    """None where nobody looked yet."""
    found = shelf_of(world).watched() if world.models is not None else None
    if found is None:
        return None
    titles = {action.id: action.title for action in world.now.catalogue.actions.values()}
    return {
        "found": found,
        "at": iso(found.at),
        "length": length_said(found.length),
        "window": length_said(found.window) if found.window else "no time at all",
        "level": f"{LEVEL:.0%}",
        "moving": MOVING,
        "shifted": SHIFTED,
        "drift": [_drift(one) for one in (found.score, *found.drift[:MOST_COLUMNS])],
        "more": max(len(found.drift) - MOST_COLUMNS, 0),
        "windows": [{"since": iso(one.since), "found": one} for one in found.windows],
        "calibration": calibration(found.windows) if any(one.judged for one in found.windows) else None,
        "exploration": shares([one.explored / one.decisions if one.decisions else None for one in found.windows]),
        "actions": [_action(one, titles, found) for one in found.actions],
    }


def length_said(milliseconds: int) -> str:
    for unit, name in _LENGTHS:
        if milliseconds >= unit:
            number = milliseconds / unit
            return f"{number:g} {name}{'' if number == 1 else 's'}"
    return f"{milliseconds} ms"


def polylines(values: Sequence[float | None], top: float, box: tuple[float, float]) -> tuple[str, ...]:
    """The points of each unbroken stretch; a stretch of one window is drawn as a short line."""
    step = box[0] / max(len(values), 1)
    stretches: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            stretches.append([])
            continue
        height = box[1] * (1.0 - min(value / top, 1.0))
        stretches[-1].append(f"{step * (place + 0.5):.1f},{height:.1f}")
    return tuple(" ".join(one if len(one) > 1 else _short(one[0])) for one in stretches if one)


def _short(point: str) -> tuple[str, str]:
    across, _, up = point.partition(",")
    return f"{float(across) - 3:.1f},{up}", f"{float(across) + 3:.1f},{up}"


def _top(values: Iterable[float | None]) -> float:
    """A little above the highest value; never nothing."""
    return max((value for value in values if value is not None), default=0.0) * 1.1 or 1.0


def calibration(windows: Sequence[WindowFound]) -> Plot:
    """Expected as a line, observed as dots with their intervals."""
    top = _top(value for one in windows for value in (one.high, one.expected))
    step = WIDTH / len(windows)
    judged = [(step * (n + 0.5), one) for n, one in enumerate(windows) if one.judged]
    return Plot(
        lines=polylines([one.expected for one in windows], top, (WIDTH, HEIGHT)),
        bars=tuple((round(x, 1), _up(one.high, top), _up(one.low, top)) for x, one in judged),
        dots=tuple((round(x, 1), _up(one.observed, top)) for x, one in judged),
        top=top,
    )


def _up(value: float | None, top: float) -> float:
    return round(HEIGHT * (1.0 - min((value or 0.0) / top, 1.0)), 1)


def shares(values: Sequence[float | None]) -> Plot:
    top = min(_top(values), 1.0)
    return Plot(polylines(values, top, (WIDTH, HEIGHT)), top=top)


def _drift(one: DriftFound) -> dict[str, Any]:
    top = max(_top(one.indexes), SHIFTED * 1.1)
    return {
        "name": one.name,
        "latest": one.latest,
        "verdict": one.verdict,
        "tag": _TAGS.get(one.verdict, "good"),
        "lines": polylines(one.indexes, top, (SPARK_WIDTH, SPARK_HEIGHT)),
        "shift": round(SPARK_HEIGHT * (1.0 - SHIFTED / top), 1),
    }


def _action(one: ActionFound, titles: dict[str, str], found: Watched) -> dict[str, Any]:
    top = _top(other.high for other in found.actions)
    known = {name: getattr(one, name) or 0.0 for name in ("low", "high", "observed", "expected")}
    across = {name: round(WIDTH * value / top, 1) for name, value in known.items()}
    return {"title": titles.get(one.action_id, one.action_id), "found": one, "across": across}
