"""Real households in closed loop: each choice asks for a decision, answers it by what was really chosen, and follows as
an order; what the system learns from is only whether the shown brand was the one. Knows the panel; the system behind
`Shelf` sees events. Beside it a model of the same columns that is told every choice."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import msgspec
import numpy as np
import yaml

from engine.records import DecisionRecord
from infra.bench.panels import Ints, Panel, bargain
from models.action import Options, Shares, as_model, fit, parts_of
from models.dataset import Examples, Logged, logged_vectors
from models.scorer import Rows

PLACEMENT = "shelf"
EPSILON = 0.02
LEARNT_SHARE = 0.7
# A loop as short as this cannot spare three tenths of its decisions for a judge; and where two in a hundred are
# explored, weights would let these few drown the others.
LEARNING = Options(shares=Shares(0.82, 0.08, 0.06), clip=0.0, threads=1)
TOLD = Options(shares=Shares(0.86, 0.1, 0.03), threads=1)
RETRAIN = (0.08, 0.1, 0.14, 0.19, 0.25, 0.32, 0.4, 0.48, 0.56, 0.64, 0.7, 0.78, 0.86, 0.93)
GRANTED = ("analytics", "personalization", "profiling", "model_training")


class Shelf(Protocol):
    """The system as the shop sees it."""

    def send(self, events: Sequence[tuple[int, dict[str, Any]]]) -> None: ...
    def settle(self) -> None: ...
    def decide(self, asks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]: ...
    def report(self, outcomes: Sequence[Mapping[str, Any]]) -> None: ...

    def learn(self, options: Options) -> None:
        """Train on all decisions so far and serve what was learnt."""
        ...

    def decided(self) -> Mapping[str, DecisionRecord]:
        """Every decision so far by its id."""
        ...


class Run(msgspec.Struct, frozen=True):
    """One run: the share of the judged choices (the last 30 % of each household) that was shown, that the model which
    was told every choice would have shown, and that was chosen the time before."""

    seed: int
    judged: int
    ours: float
    told: float
    before: float


def catalogue_of(panel: Panel) -> str:
    """The catalogue file: one action per brand at one placement."""
    placement = {"id": PLACEMENT, "channel": "web", "exploration": {"kind": "epsilon", "share": EPSILON}}
    actions = [
        {
            "id": f"offer_{brand}",
            "title": f"Show {brand}",
            "category": brand,
            "purpose": "personalization",
            "channels": ["web"],
            "placements": [PLACEMENT],
            "content": {"en": f"{brand} for you", "de": f"{brand} für Sie"},
            "value": 1.0,
            "prior_rate": 0.25,
        }
        for brand in panel.brands
    ]
    document = {
        "version": f"panel-{panel.name}",
        "placements": [placement],
        "contact_policy": {"rest_after_decline_days": 0},
        "actions": actions,
    }
    return str(yaml.safe_dump(document, sort_keys=False))


def positions(panel: Panel) -> Ints:
    """The place of each choice among its household's, from 0."""
    starts = np.searchsorted(panel.household, np.arange(int(panel.household.max()) + 1))
    return np.arange(len(panel)) - starts[panel.household]


def learnt_from(panel: Panel) -> Ints:
    """Which choices belong to the first 70 % of their household."""
    sizes = np.bincount(panel.household)[panel.household]
    return np.flatnonzero(positions(panel) < np.ceil(LEARNT_SHARE * sizes))


def together(panel: Panel, seed: int) -> Iterator[list[int]]:
    """All choices in batches that hold no household twice, every household as far along as the others."""
    jitter = np.random.default_rng((seed, 21)).random(int(panel.household.max()) + 1)[panel.household]
    order = np.argsort((positions(panel) + jitter) / np.bincount(panel.household)[panel.household], kind="stable")
    batch: list[int] = []
    seen: set[int] = set()
    for row in order.tolist():
        household = int(panel.household[row])
        if household in seen:
            yield batch
            batch, seen = [], set()
        batch.append(row)
        seen.add(household)
    yield batch


class Loop:
    """One run of one panel."""

    def __init__(self, panel: Panel, seed: int, shelf: Shelf) -> None:
        self._panel, self._seed, self._shelf = panel, seed, shelf
        self._bargain = [panel.brands[at] for at in bargain(panel).tolist()]
        self.shown: dict[int, tuple[str, int]] = {}

    def user(self, row: int) -> str:
        return f"{self._panel.name}-{self._seed}-{self._panel.household[row]}"

    def run(self, advance: Callable[[int, int], None]) -> Run:
        batches = list(together(self._panel, self._seed))
        self._meet()
        ends = np.cumsum([len(batch) for batch in batches]).tolist()
        marks = [share * len(self._panel) for share in RETRAIN]
        for batch, (begin, end) in zip(batches, pairwise([0, *ends]), strict=True):
            self._choose(batch)
            if any(begin < mark <= end for mark in marks):
                self._shelf.learn(LEARNING)
            advance(end, len(self._panel))
        return self._judged()

    def _meet(self) -> None:
        rows = np.unique(self._panel.household, return_index=True)[1].tolist()
        said = {"consent": {"categoryPreferences": dict.fromkeys(GRANTED, True)}}
        for row in rows:
            user = self.user(row)
            named = {"userId": user, "messageId": f"{user}-new"}
            asked = {"type": "track", "event": "Segment Consent Preference Updated", "context": said}
            self._shelf.send([(2000, {"type": "identify", "traits": {"country": "US"}, **named})])
            self._shelf.send([(1000, {**asked, **named, "messageId": f"{user}-consent"})])
        self._shelf.settle()

    def _choose(self, batch: Sequence[int]) -> None:
        answers = self._shelf.decide([self._ask(row) for row in batch])
        said = [one for row, answer in zip(batch, answers, strict=True) for one in self._answered(row, answer)]
        self._shelf.report(said)
        self._shelf.send([(0, self._order(row)) for row in batch])
        self._shelf.settle()

    def _ask(self, row: int) -> dict[str, Any]:
        displayed, featured, _ = np.split(self._panel.offers[row], 3)
        shown = [brand for brand, on in zip(self._panel.brands, displayed + featured, strict=True) if on]
        context = {"reason": "+".join(shown) or "nothing", "topic": self._bargain[row]}
        return {"profile": f"user_id:{self.user(row)}", "placement": PLACEMENT, "context": context, "limit": 1}

    def _answered(self, row: int, answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        action = answer["actions"][0]["action_id"]
        brand = self._panel.brands.index(action.removeprefix("offer_"))
        self.shown[row] = answer["decision_id"], brand
        named = {"decision_id": answer["decision_id"], "action_id": action, "by": "panel"}
        yield {**named, "outcome": "presented"}
        if brand == self._panel.choice[row]:
            yield {**named, "outcome": "accepted"}

    def _order(self, row: int) -> dict[str, Any]:
        brand = self._panel.brands[self._panel.choice[row]]
        user = self.user(row)
        named = {"userId": user, "messageId": f"{user}-{positions_of(self._panel, row)}"}
        properties = {"total": 1.0, "products": [{"category": brand}]}
        return {"type": "track", "event": "Order Completed", "properties": properties, **named}

    def _judged(self) -> Run:
        panel, records = self._panel, self._shelf.decided()
        learnt = set(learnt_from(panel).tolist())
        judged = [row for row in self.shown if row not in learnt]
        chosen = panel.choice[judged]
        told = told_everything(panel, {row: records[self.shown[row][0]] for row in self.shown}, learnt)
        return Run(
            seed=self._seed,
            judged=len(judged),
            ours=float(np.mean([self.shown[row][1] for row in judged] == chosen)),
            told=float(np.mean([told[row] for row in judged] == chosen)),
            before=float(np.mean(panel.before[judged] == chosen)),
        )


def positions_of(panel: Panel, row: int) -> int:
    return int(row - np.searchsorted(panel.household, panel.household[row]))


def told_everything(panel: Panel, records: Mapping[int, DecisionRecord], learnt: set[int]) -> dict[int, int]:
    """Which brand the model would show that is told, of the first choices, what each brand's answer would have been."""
    brands = {f"offer_{brand}": at for at, brand in enumerate(panel.brands)}
    logged = [one for row, record in records.items() if row in learnt for one in _each(panel, row, record)]
    model = as_model("told", fit(parts_of(Examples(tuple(logged), {}), TOLD.shares), TOLD))
    shown = {}
    for row, record in records.items():
        if row not in learnt:
            best = int(np.argmax(model.raw(logged_vectors(record))))
            shown[row] = brands[record.candidates[best].action_id]
    return shown


def _each(panel: Panel, row: int, record: DecisionRecord) -> Iterator[Logged]:
    vectors: Rows = logged_vectors(record)
    wanted = f"offer_{panel.brands[panel.choice[row]]}"
    for at, candidate in enumerate(record.candidates):
        yield Logged(record, vectors, at, 1, 1.0, float(candidate.action_id == wanted), skipped=False)
