"""Looks at what became of the decisions of this installation and publishes it: a process of its own, started by hand or
by the archiver. Carries out what `models.watch` computes; judges nothing."""

import logging

import msgspec

from infra.archive import ARCHIVE_FAILURES, day_of, read_events
from infra.clock import now_ms
from infra.collector import look_seldom
from infra.model_store import ModelStore
from infra.settings import Settings
from infra.training import USUAL as USUAL_CHOICE
from infra.training import permitted, rewards_of
from models.dataset import decisions_in, outcomes_in
from models.registry import Card
from models.scorer import ModelError, PriorModel, Scorer, load_model
from models.train import card_of
from models.watch import Terms, watched
from models.watched import Watched

log = logging.getLogger("rapport.watching")
KINDS = ("decision", "outcome")
DAY_MS = 86_400_000


class Asked(msgspec.Struct, frozen=True):
    """Decisions of how many days are looked at, and how long outcomes are waited for (ms): as long as the champion
    waited when it learned, where it is not said."""

    days: float = 30.0
    window: int | None = None


USUAL = Asked()


def watch(settings: Settings, now: int, asked: Asked = USUAL) -> Watched:
    """Look and publish. `now` in ms."""
    store = ModelStore(settings.models_dir)
    model, card = _serving(store)
    usual = USUAL_CHOICE.window if card is None else card.window
    terms = Terms(
        now=now,
        window=usual if asked.window is None else asked.window,
        since=max(now - int(asked.days * DAY_MS), 0),
        model=model,
        reference=None if card is None else card.data,
        permit=permitted(settings),
        rewards=rewards_of(settings),
    )
    first = terms.since if terms.reference is None else min(terms.since, terms.reference.first)
    table = read_events(settings.archive, KINDS, day_of(first))
    found = watched(decisions_in(table), outcomes_in(table), terms)
    store.keep_watched(found)
    return found


def _serving(store: ModelStore) -> tuple[Scorer, Card | None]:
    """The champion with its card; the assumed rates where there is none, or it cannot serve."""
    version = store.champion()
    if version is None:
        return PriorModel(), None
    try:
        files = store.files(version)
        return load_model(files), card_of(files)
    except ModelError:
        return PriorModel(), None


def main() -> None:
    """The errand: once, and a failure is no more than a line of the log, since the next round comes."""
    look_seldom()
    try:
        watch(Settings(), now_ms())
    except ARCHIVE_FAILURES as error:
        log.warning("nothing watched this time: %s", type(error).__name__)


if __name__ == "__main__":
    main()
