"""What experiments found: logged decisions and outcomes in, one entry per person, and for every arm its effect against
the default. Who is one person is told to it; it deals nobody and stops nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np

from engine.experiment import CONTROL, OUTSIDE, Plan, dealt_shares
from engine.outcome import DEFAULT_REWARDS, Outcome, judge
from engine.records import DecisionRecord
from engine.signals import DAY
from models.effect import ALPHA, bounds, ratio

RESTRICTED = f"{OUTSIDE}restriction"
BETTER, WORSE, OPEN_QUESTION, TOO_FEW = "better", "worse", "open", "too few"


class Scope(msgspec.Struct, frozen=True):
    """When it is (ms), and how long outcomes are waited for (ms)."""

    now: int
    window: int


class Persons(msgspec.Struct, frozen=True):
    """Who a profile id of then is today, by that id, and the people of today whose data is restricted."""

    today: Mapping[str, str] = {}
    restricted: frozenset[str] = frozenset()


class Entry(msgspec.Struct, frozen=True):
    """One decision of an experiment: whose, when, in which arm (or why outside), and its reward in [0, 1]."""

    person: str
    at: int
    arm: str
    reward: float


class Person(msgspec.Struct, frozen=True):
    """One person of the analysis: when it came in (ms), its arm, and its responses within the horizon."""

    person: str
    at: int
    arm: str
    responses: float


class People(msgspec.Struct, frozen=True):
    """Who is analysed and who is not: `crossed` were in several arms before they turned out to be one person, `waiting`
    have an open horizon or outcome window, `outside` says why others were kept outside, by reason. `dealt` counts the
    people of each arm, those who wait included."""

    judged: tuple[Person, ...]
    crossed: int
    waiting: int
    outside: dict[str, int]
    dealt: dict[str, int]


class ArmFound(msgspec.Struct, frozen=True):
    """One arm: people dealt and judged, and their mean responses. `effect` is the difference to the baseline with its
    interval, which may be looked at any time; None for the baseline and while there are too few."""

    arm: str
    share: float
    dealt: int
    judged: int
    mean: float | None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str = ""


class Found(msgspec.Struct, frozen=True):
    """One experiment. `ratio_p` is Pearson's for a single look; `ratio_evidence` may be looked at any time, and
    `ratio_suspicious` says that the arms' sizes are not what was planned: then no effect is to be believed."""

    experiment: str
    title: str
    baseline: str
    arms: tuple[ArmFound, ...]
    crossed: int
    waiting: int
    outside: dict[str, int]
    ratio_p: float
    ratio_evidence: float
    ratio_suspicious: bool
    alpha: float
    horizon_days: float
    text: str


class Findings(msgspec.Struct, frozen=True):
    """What was found at a moment (ms), the control group first."""

    at: int
    decisions: int
    experiments: tuple[Found, ...] = ()


class KeptFindings(Protocol):
    """The latest findings; None where nothing was measured yet."""

    def latest(self) -> Findings | None: ...


def entries_of(
    decisions: Iterable[DecisionRecord],
    outcomes: Mapping[str, Sequence[Outcome]],
    persons: Persons,
    window: int,
    rewards: Mapping[str, float] = DEFAULT_REWARDS,
) -> dict[str, list[Entry]]:
    """The decisions of each experiment; `rewards` says what a kind of outcome is worth. Of people whose data is
    restricted nothing is taken but that there are such: they are outside."""
    found: dict[str, list[Entry]] = {}
    for record in decisions:
        if not record.arms:
            continue
        person, arms = persons.today.get(record.profile_id, record.profile_id), record.arms
        said = [o for o in outcomes.get(record.decision_id, ()) if o.at <= record.at + window]
        if person in persons.restricted:
            said, arms = [], dict.fromkeys(arms, RESTRICTED)
        entry = Entry(person, record.at, "", judge(said, rewards).reward)
        for experiment, arm in arms.items():
            found.setdefault(experiment, []).append(msgspec.structs.replace(entry, arm=arm))
    return found


def people_of(entries: Iterable[Entry], horizon: int, scope: Scope) -> People:
    """One entry per person, in the order in which they came in. Each is judged once, when its horizon and the last
    outcome window are closed, so what it says never changes again."""
    own: dict[str, list[Entry]] = {}
    outside: dict[str, str] = {}
    for entry in entries:
        if entry.arm.startswith(OUTSIDE):
            outside.setdefault(entry.person, entry.arm.removeprefix(OUTSIDE))
        else:
            own.setdefault(entry.person, []).append(entry)
    crossed = {person for person, dealt in own.items() if len({entry.arm for entry in dealt}) > 1}
    whole = sorted(
        (_judged(person, dealt, horizon) for person, dealt in own.items() if person not in crossed),
        key=lambda one: (one.at, one.person),
    )
    judged = tuple(one for one in whole if scope.now - one.at >= horizon + scope.window)
    kept_out = Counter(why for person, why in outside.items() if person not in own)
    dealt_to = Counter(one.arm for one in whole)
    return People(judged, len(crossed), len(whole) - len(judged), dict(kept_out), dict(dealt_to))


def _judged(person: str, dealt: Sequence[Entry], horizon: int) -> Person:
    first = min(entry.at for entry in dealt)
    responses = sum(entry.reward for entry in dealt if entry.at < first + horizon)
    return Person(person, first, dealt[0].arm, responses)


def compared(people: Sequence[Person], pair: tuple[str, str], shares: Mapping[str, float], alpha: float) -> ArmFound:
    """One arm against the baseline: `pair` is (arm, baseline)."""
    arm, baseline = pair
    both = [one for one in people if one.arm in pair]
    values = np.asarray([one.responses for one in both])
    treated = np.asarray([one.arm == arm for one in both], dtype=np.bool_)
    own = values[treated] if both else values
    plain = ArmFound(arm, shares[arm], 0, len(own), float(own.mean()) if len(own) else None, verdict=TOO_FEW)
    if arm == baseline:
        return msgspec.structs.replace(plain, verdict="")
    if not both or min(shares[arm], shares[baseline]) <= 0.0:
        return plain
    found = bounds(values, treated, shares[arm] / (shares[arm] + shares[baseline]), alpha)
    # all intervals hold together, so the truth lies in every one of them; unless it moved, and then the latest counts
    low, high = float(found.low.max()), float(found.high.min())
    if low > high:
        low, high = float(found.low[-1]), float(found.high[-1])
    if not np.isfinite(low) or not np.isfinite(high):
        return plain
    verdict = BETTER if low > 0.0 else WORSE if high < 0.0 else OPEN_QUESTION
    return msgspec.structs.replace(plain, effect=float(found.effect[-1]), low=low, high=high, verdict=verdict)


def _sentence(found: Sequence[ArmFound], baseline: str, *, suspicious: bool) -> str:
    if suspicious:
        return "The arms' sizes are not what was planned: find out why before believing any effect."
    said = [_words(arm, baseline) for arm in found if arm.arm != baseline]
    return " ".join(said)


def _words(arm: ArmFound, baseline: str) -> str:
    if arm.effect is None or arm.low is None or arm.high is None:
        return f"{arm.arm}: too few people to say anything yet."
    told = f"{arm.effect:+.4f} responses a person against {baseline} (between {arm.low:+.4f} and {arm.high:+.4f})"
    return f"{arm.arm}: {arm.verdict}, {told}."


def judged(plan: Plan, name: str, entries: Sequence[Entry], scope: Scope) -> Found:
    """What one experiment (or `control`) found."""
    experiment = plan.named(name)
    days = experiment.horizon_days if experiment is not None else plan.control.horizon_days
    baseline = experiment.baseline.id if experiment is not None else CONTROL
    title = experiment.title if experiment is not None else "The engine against the control group"
    people = people_of(entries, int(days * DAY), scope)
    shares = dealt_shares(plan, name)
    sizes = ratio([people.dealt.get(arm, 0) for arm in shares], list(shares.values()))
    alpha = ALPHA / max(len(shares) - 1, 1)
    arms = tuple(
        msgspec.structs.replace(compared(people.judged, (arm, baseline), shares, alpha), dealt=people.dealt.get(arm, 0))
        for arm in shares
    )
    return Found(
        experiment=name,
        title=title or name,
        baseline=baseline,
        arms=arms,
        crossed=people.crossed,
        waiting=people.waiting,
        outside=people.outside,
        ratio_p=sizes.p_value,
        ratio_evidence=sizes.evidence,
        ratio_suspicious=sizes.suspicious,
        alpha=alpha,
        horizon_days=days,
        text=_sentence(arms, baseline, suspicious=sizes.suspicious),
    )


def findings(plan: Plan, entries: Mapping[str, Sequence[Entry]], decisions: int, scope: Scope) -> Findings:
    """What everything that is being tried found so far."""
    names = [*([CONTROL] if plan.control.share > 0.0 else []), *(one.id for one in plan.experiments)]
    found = tuple(judged(plan, name, entries.get(name, ()), scope) for name in names)
    return Findings(scope.now, decisions, found)
