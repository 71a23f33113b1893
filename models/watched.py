"""What `models.watch` found, as values that are kept and shown, and what of it is alarming. Knows nothing of how it was
found."""

from collections.abc import Iterator

import msgspec

from models.drift import FEWEST, SHIFTED, SHIFTS, TOO_FEW

LEVEL = 0.99
FEWEST_JUDGED = 30
MOST_NAMED = 5


class WindowFound(msgspec.Struct, frozen=True):
    """One stretch of time from `since` (ms). `expected` is the mean probability the serving model gave what was
    presented, `observed` the mean reward with its interval; None where nothing was judged."""

    since: int
    decisions: int
    explored: int
    open: int
    judged: int
    expected: float | None = None
    observed: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def off(self) -> bool:
        """Whether what was expected lies outside the interval of what was observed."""
        if self.expected is None or self.low is None or self.high is None or self.judged < FEWEST_JUDGED:
            return False
        return not self.low <= self.expected <= self.high


class DriftFound(msgspec.Struct, frozen=True):
    """One column: its index in each window (None: too few rows), the latest one, what chance alone could give there."""

    name: str
    indexes: tuple[float | None, ...]
    latest: float | None
    chance: float
    verdict: str


class ActionFound(msgspec.Struct, frozen=True):
    """One action: in how many slates it was, and in how many judged decisions presented, with expected and observed
    response there."""

    action_id: str
    slates: int
    judged: int
    expected: float | None = None
    observed: float | None = None
    low: float | None = None
    high: float | None = None


class Watched(msgspec.Struct, frozen=True):
    """What was found at `at` (ms), over windows of `length` ms. `against` says what drift is measured against, empty
    where there is too little; `drift` has the columns the model uses, the most shifted first."""

    at: int
    model: str
    window: int
    length: int
    decisions: int
    windows: tuple[WindowFound, ...] = ()
    against: str = ""
    reference_rows: int = 0
    score: DriftFound = DriftFound("score", (), None, 0.0, TOO_FEW)
    drift: tuple[DriftFound, ...] = ()
    actions: tuple[ActionFound, ...] = ()
    left_out: dict[str, int] = {}

    @property
    def open(self) -> int:
        return sum(one.open for one in self.windows)

    @property
    def exploration(self) -> float | None:
        return sum(one.explored for one in self.windows) / self.decisions if self.decisions else None

    @property
    def judged(self) -> WindowFound | None:
        """The latest window with enough judged decisions to say something."""
        return next((one for one in reversed(self.windows) if one.judged >= FEWEST_JUDGED), None)

    @property
    def alarms(self) -> tuple[str, ...]:
        return tuple(_alarms(self))


def _alarms(found: Watched) -> Iterator[str]:
    shifted = [one for one in (found.score, *found.drift) if one.verdict == SHIFTS]
    if shifted:
        named = ", ".join(f"{one.name} ({one.latest:.2f})" for one in shifted[:MOST_NAMED])
        more = f" and {len(shifted) - MOST_NAMED} more" if len(shifted) > MOST_NAMED else ""
        yield (
            f"Spread otherwise than in the {found.against}: {named}{more}. A PSI of {SHIFTED:g} or more is a shift: "
            "find out why; if it is to stay, train a new model."
        )
    judged = found.judged
    if judged is not None and judged.off:
        yield (
            f"Calibration is off: {judged.observed:.1%} responded where {judged.expected:.1%} were expected "
            f"({LEVEL:.0%} interval {judged.low:.1%} to {judged.high:.1%}, {judged.judged} decisions). Train anew."
        )
    if found.decisions >= FEWEST and not found.exploration:
        yield f"Nothing was explored in {found.decisions} decisions: what is not shown cannot be learnt about."
