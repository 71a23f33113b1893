"""The demonstration's report: figures, tables and one page that shows them. Finds nothing itself."""

from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infra.demo.cdnow import Replayed
from infra.demo.closed_loop import Curve, Plan, percent
from infra.demo.figures import climb, off_policy, revenues
from infra.demo.open_bandit import REFERENCE, Golden, agrees
from infra.demo.simulator_card import Card

TEMPLATES = Path(__file__).parent
TEMPLATE, PAGE = "report.html", "report.html"


class Simulated(msgspec.Struct, frozen=True, eq=False):
    """One closed loop: its plan, what happened, and the simulator's card for the same seed."""

    plan: Plan
    curve: Curve
    card: Card

    @property
    def final(self) -> float:
        """Percent of the way from uniform to the oracle over the judged decisions."""
        return percent(self.curve, self.plan.judged_from, self.plan.decisions)


class Report(msgspec.Struct, frozen=True, eq=False):
    """Everything the page shows; a part that was not run is None. `made` is a readable time."""

    made: str
    base_url: str
    cdnow: Replayed | None = None
    bandit: Golden | None = None
    simulated: Simulated | None = None

    @property
    def problems(self) -> list[str]:
        """What should be exact and is not."""
        wrong = len(self.cdnow.differences) if self.cdnow is not None else 0
        found = [f"{wrong} profiles differ from pandas"] if wrong else []
        if self.bandit is not None and not agrees(self.bandit):
            found.append("off-policy values differ from the reference")
        return found


def write(report: Report, directory: Path) -> Path:
    """Write the page and its pictures; returns the page."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, picture in _pictures(report).items():
        (directory / name).write_bytes(picture)
    page = directory / PAGE
    page.write_text(render(report), encoding="utf-8")
    return page.resolve()


def render(report: Report) -> str:
    """The page as HTML; pictures are expected beside it."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    shown = {"made": report.made, "base_url": report.base_url, "cdnow": report.cdnow}
    return environment.get_template(TEMPLATE).render(**shown, **_bandit(report.bandit), **_loop(report.simulated))


def _pictures(report: Report) -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    if report.cdnow is not None:
        pairs = [(one.expected.revenue, one.found.revenue) for one in report.cdnow.compared if one.found]
        made["cdnow.png"] = revenues(pairs or [(0, 0)])
    if report.bandit is not None:
        made["open_bandit.png"] = off_policy(report.bandit)
    if report.simulated is not None:
        made["closed_loop.png"] = climb(report.simulated.curve, report.simulated.plan.judged_from)
    return made


BANDIT_NAMES = {
    "random": "value of the random policy (mean click rate)",
    "bts": "value of the bts policy (mean click rate)",
    "ips": "item-by-position frequencies of bts, from the random log, IPS",
    "snips": "the same, SNIPS",
}


def bandit_rows(found: Golden) -> list[tuple[str, str, str]]:
    """Name, our value and the reference, as text."""
    rates = [(text, f"{getattr(found, n):.5f}", f"{getattr(REFERENCE, n):.5f}") for n, text in BANDIT_NAMES.items()]
    return [*rates, ("effective sample size of that estimate", f"{found.ess:,.0f}", f"{REFERENCE.ess:,.0f}")]


def _bandit(found: Golden | None) -> dict[str, Any]:
    if found is None:
        return {"bandit": None}
    return {"bandit": found, "bandit_agrees": agrees(found), "bandit_rows": bandit_rows(found)}


def _loop(found: Simulated | None) -> dict[str, Any]:
    if found is None:
        return {"loop": None}
    plan, curve, card = found.plan, found.curve, found.card
    judged = slice(plan.judged_from, plan.decisions)
    policies = ("uniform", "constant", "logistic", "oracle")
    names = (
        "uniform draw",
        "best constant ranking",
        "logistic model without interactions",
        "oracle on observable features",
    )
    rewards = [getattr(card, policy) for policy in policies]
    return {
        "loop": curve,
        "plan": plan,
        "card": card,
        "first_pilot": next((start for start, share in plan.pilot if share < 1.0), plan.decisions),
        "final": found.final,
        "final_reward": 100.0 * float(curve.expected[judged].mean()),
        "final_uniform": 100.0 * float(curve.uniform[judged].mean()),
        "final_oracle": 100.0 * float(curve.oracle[judged].mean()),
        "card_rows": [(name, reward, card.percent(reward)) for name, reward in zip(names, rewards, strict=True)],
    }
