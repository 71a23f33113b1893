"""What the API says about experiments: what is being tried, and what it found so far. Knows nothing of how it is
measured."""

from typing import Annotated

import msgspec

from api.schemas import Instant

Meta = msgspec.Meta
Share = Annotated[float, Meta(ge=0, le=1)]


class ArmNow(msgspec.Struct, frozen=True):
    """One arm: its share, people dealt and judged, mean responses, and its effect against the baseline with an interval
    that may be looked at any time (null for the baseline and while there are too few people)."""

    arm: str
    share: Share
    dealt: int
    judged: int
    mean: float | None
    effect: float | None
    low: float | None
    high: float | None
    verdict: str


class ExperimentNow(msgspec.Struct, frozen=True):
    """One experiment, or `control`. People in `crossed` were in several arms before they turned out to be one person;
    `waiting` have an open horizon; `outside` were kept out, by reason (`restriction`: their data was restricted when it
    was measured)."""

    experiment: str
    title: str
    running: bool
    baseline: str
    placements: list[str]
    purpose: str
    horizon_days: float
    alpha: float
    arms: list[ArmNow]
    crossed: int
    waiting: int
    outside: dict[str, int]
    ratio_p: float
    ratio_evidence: float
    ratio_suspicious: bool
    text: str


class ExperimentList(msgspec.Struct, frozen=True):
    """Everything that is being tried; `measured_at` is null until `rapport experiments` has run."""

    measured_at: Instant | None
    decisions: int
    experiments: list[ExperimentNow]
