"""The panels in closed loop over HTTP: one installation per run, events, decisions and outcomes by the ordinary doors,
training on the archive and promotion through the model store. Knows how to wait; nothing of choices or hit rates."""

import asyncio
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.records import DecisionRecord
from infra.archive import read_events
from infra.bench.bed import Bed, Place, whole
from infra.bench.figures import Row, Say, Target
from infra.bench.panels import NAMES, Panel, load_panel
from infra.bench.shelf import EPSILON, Loop, Run, catalogue_of
from infra.config import CATALOGUE, EXPERIMENTS
from infra.demo.client import Client, DemoFailed
from infra.judging import Force, promote_now
from infra.model_store import ModelStore
from infra.settings import DEMO_CONFIG, Settings
from models.action import FEWEST, Options
from models.dataset import NothingToLearn, decisions_in
from models.train import Plan, train

SEEDS = (11, 12, 13, 14, 15)
SHORT = 0.025
KINDS = ("decision", "outcome")
WITHIN_S = 120.0
SERVED_WITHIN_S = 2.5
# two per cent of exploration in some hundred decisions cannot carry a verdict, and this is no customer's shop
FORCE = Force("the loop is measured with whatever was learnt last", "rapport bench")


class HttpShelf:
    """Implements `shelf.Shelf`. Waits after each step until what was sent can be seen by the next decision."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._expected: dict[str, int] = {}
        self._touched: set[str] = set()
        self._asked: dict[str, str] = {}
        self._outcomes = 0

    def send(self, events: Sequence[tuple[int, dict[str, Any]]]) -> None:
        now = time.time_ns() // 1_000_000
        self._client.send([{**event, "timestamp": _iso(now - age)} for age, event in events])
        for _, event in events:
            self._more(f"user_id:{event['userId']}")

    def _more(self, reference: str) -> None:
        self._expected[reference] = self._expected.get(reference, 0) + 1
        self._touched.add(reference)

    def settle(self) -> None:
        self._client.wait_until_folded({who: self._expected[who] for who in self._touched})
        self._touched.clear()

    def decide(self, asks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        answers = self._client.decide(asks)
        for ask, answer in zip(asks, answers, strict=True):
            self._asked[answer["decision_id"]] = ask["profile"]
            self._more(ask["profile"])
        return answers

    def report(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        self._client.report(outcomes)
        self._outcomes += len(outcomes)
        for one in outcomes:
            self._more(self._asked[one["decision_id"]])

    def _archived(self) -> Any:
        """Decisions and outcomes so far, once all of them are in the archive."""
        deadline = time.monotonic() + WITHIN_S
        while (table := read_events(self._settings.archive, KINDS)).num_rows < self._outcomes + len(self._asked):
            if time.monotonic() > deadline:
                raise DemoFailed("decisions and outcomes do not reach the archive")
            time.sleep(0.5)
        return table

    def learn(self, options: Options) -> None:
        if len(self._asked) < FEWEST:
            return
        try:
            trained = train(self._archived(), time.time_ns() // 1_000_000, 0, Plan(options))
        except NothingToLearn:
            return
        ModelStore(self._settings.models_dir).save(trained.version, trained.files)
        promote_now(self._settings, trained.version, FORCE)
        time.sleep(SERVED_WITHIN_S)

    def decided(self) -> Mapping[str, DecisionRecord]:
        return {record.decision_id: record for record in decisions_in(self._archived())}


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")


def configured(panel: Panel, into: Path) -> Path:
    """The demo's configuration with the panel's brands for actions, and nothing being tried."""
    shutil.copytree(DEMO_CONFIG, into)
    (into / CATALOGUE).write_text(catalogue_of(panel), encoding="utf-8")
    (into / EXPERIMENTS).unlink()
    return into


def played(bed: Bed, panel: Panel, seed: int, say: Say) -> Run:
    """One run against this installation."""
    settings = bed.settings
    client = Client(f"http://127.0.0.1:{settings.port}", settings.admin_key, settings.write_key)
    try:
        told = f"panels: {panel.name}, seed {seed}"
        return Loop(panel, seed, HttpShelf(client, settings)).run(lambda done, of: say(f"{told}, {done} of {of}"))
    finally:
        client.close()


async def run(place: Place, say: Say, config: Path) -> list[Row]:
    """Every panel with every seed, each on an installation of its own."""
    rows = []
    for name in NAMES:
        panel, runs = load_panel(name), []
        own = configured(panel, config.parent / name)
        for seed in SEEDS[:1] if place.quick else SEEDS:
            async with whole(place, own) as bed:
                runs.append(await asyncio.to_thread(played, bed, panel, seed, say))
        rows.append(row_of(name, runs))
    return rows


def row_of(name: str, runs: Sequence[Run]) -> Row:
    """The mean hit rate beside what a model that is told every choice reaches, and by how much it falls short."""
    ours, told, before = (sum(getattr(one, field) for one in runs) / len(runs) for field in ("ours", "told", "before"))
    each = ", ".join(f"{one.seed}: {one.ours:.3f} of {one.told:.3f}" for one in runs)
    note = f"hit rate {ours:.3f}, told {told:.3f}, the brand before {before:.3f}; {EPSILON:.0%} explored; seed {each}"
    most = Target(SHORT, most=True)
    return Row("panels", f"{name}: short of being told", told - ours, "hit rate", target=most, note=note)
