"""What the simulator is worth as a test: how far a uniform draw, the best constant ranking and a logistic model without
interactions come on the way to the oracle, over the same permitted actions. Sees what a decision sees and the truth."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from engine.carried import Forms
from engine.consent import DENIED, GRANTED, Held, Statement, country_of, resolve
from engine.events import Arrival, Event, normalise
from engine.profile import Fragment, Profile, fold, merge
from engine.quiet import hours_at
from features.compute import Context, CrossCounts, Offer, fill
from features.spec import CATEGORICAL, COLUMNS, FEATURES
from infra.config import Configuration
from infra.demo.simulator import NAME, Contacts, Population, contact, context_of, history, populate, true_acceptance
from infra.demo.truth import Flags, Floats
from models.gate import Person, Sights, bearing, screen

MOST_CONSTANT, MOST_LOGISTIC = 35.0, 70.0
PLACEMENT = "agent_desktop"
SECRET = b"the card makes nobody's id"
LEARN, JUDGE = 9000, 3000
_CATEGORIES = [i for i, feature in enumerate(FEATURES) if feature.kind == CATEGORICAL]
_NUMBERS = [i for i, feature in enumerate(FEATURES) if feature.kind != CATEGORICAL]
_NOBODY = CrossCounts()


class Card(msgspec.Struct, frozen=True):
    """Mean reward per 100 decisions (value of the accepted action) of each policy on observable features."""

    seed: int
    contacts: int
    permitted: float
    uniform: float
    constant: float
    logistic: float
    oracle: float

    def percent(self, reward: float) -> float:
        """How far a reward is from uniform (0) to the oracle (100)."""
        return 100.0 * (reward - self.uniform) / (self.oracle - self.uniform)

    @property
    def is_hard_enough(self) -> bool:
        return self.percent(self.constant) <= MOST_CONSTANT and self.percent(self.logistic) <= MOST_LOGISTIC

    def lines(self) -> list[str]:
        """The card as text."""
        policies = ("uniform", "constant", "logistic", "oracle")
        names = ("uniform draw", "best constant ranking", "logistic, no interactions", "oracle on observable features")
        rewards = [getattr(self, policy) for policy in policies]
        verdict = "hard enough" if self.is_hard_enough else "TOO EASY"
        size = f"{self.contacts} contacts with {self.permitted:.1f} permitted actions each"
        return [
            f"{NAME} (invented customers, seed {self.seed}), {size}; reward per 100 decisions",
            *(f"  {n:<30} {r:8.0f}  {self.percent(r):5.1f} %" for n, r in zip(names, rewards, strict=True)),
            f"  {verdict}: the constant may reach {MOST_CONSTANT:.0f} %, the logistic model {MOST_LOGISTIC:.0f} %",
        ]


class Table(msgspec.Struct, frozen=True, eq=False):
    """Contacts × actions: the rows a model would get (contacts, actions, columns), which actions are permitted, and
    the true expected reward, NaN where not permitted."""

    rows: npt.NDArray[np.float32]
    permitted: Flags
    gain: Floats


def _person(people: Population, index: int, configuration: Configuration, at: int) -> tuple[Profile, Held]:
    categories = configuration.source("default").categories
    arrival = Arrival(SECRET, "simulator", at, consent=Forms(categories))
    fragment: Fragment | None = None
    statements: dict[str, tuple[Statement, ...]] = {}
    for age, raw in history(people, index, f"card-{index}"):
        event: Event = msgspec.structs.replace(normalise(raw, arrival, configuration.identity, ""), at=at - age)
        fragment = fold(fragment or Fragment(event.home), event)
        if event.explicit:
            said = event.consent or {}
            statements = {p: (Statement(GRANTED if yes else DENIED, event.at, ""),) for p, yes in said.items()}
    return merge([fragment] if fragment else []), Held(statements)


def table_of(people: Population, contacts: Contacts, configuration: Configuration, at: int) -> Table:
    """Every contact put before the real gate and the real features, as before the first outcome."""
    actions = configuration.catalogue.placed(PLACEMENT)
    position = {action.id: index for index, action in enumerate(actions)}
    truth = true_acceptance(people, contacts, tuple(position))
    worth = np.asarray([action.value * action.lever for action in actions])
    rows = np.zeros((contacts.size, len(actions), len(COLUMNS)), np.float32)
    permitted = np.zeros((contacts.size, len(actions)), np.bool_)
    known: dict[int, tuple[Profile, Held]] = {}
    for index, who in enumerate(contacts.customer.tolist()):
        known[who] = known.get(who) or _person(people, who, configuration, at)
        found, made = _offer(known[who], context_of(contacts, index), configuration, at)
        chosen = [position[name] for name in found]
        permitted[index, chosen] = True
        rows[index, chosen] = made
    return Table(rows, permitted, np.where(permitted, truth * worth, np.nan))


def _offer(
    who: tuple[Profile, Held], context: dict[str, object], configuration: Configuration, at: int
) -> tuple[list[str], npt.NDArray[np.float32]]:
    (profile, held), purposes, catalogue = who, configuration.purposes, configuration.catalogue
    consent = resolve({profile.profile_id: held}, purposes, country_of(profile))
    sights = Sights(Person(profile, consent, purposes, context, at), bearing(purposes))
    zone = catalogue.policy.default_zone
    found = screen(sights, catalogue, catalogue.placements[PLACEMENT], hours_at(at, zone, zone))
    offer = Offer(found.actions, [_NOBODY] * len(found.actions), Context(PLACEMENT, context), at)
    return [action.id for action in found.actions], fill([sight.observed for sight in found.sights], offer)


def _reward_of(score: Floats, table: Table) -> float:
    """Mean reward when the permitted action of the highest score is shown."""
    chosen = np.where(table.permitted, score, -np.inf).argmax(axis=1)
    return float(table.gain[np.arange(len(chosen)), chosen].mean())


def _constant(table: Table) -> float:
    """The best of the rankings that put one action first and the others by their mean reward."""
    by_mean = np.nanmean(table.gain, axis=0)
    first = np.eye(len(by_mean)) * (by_mean.max() + 1.0)
    return max(_reward_of(np.broadcast_to(by_mean + row, table.gain.shape), table) for row in first)


def _pipeline() -> Pipeline:
    columns = [
        ("categories", OneHotEncoder(handle_unknown="ignore"), _CATEGORIES),
        ("numbers", StandardScaler(), _NUMBERS),
    ]
    return make_pipeline(ColumnTransformer(columns), LogisticRegression(max_iter=500))


def _logistic(learn: Table, judge: Table, seed: int, values: Sequence[float]) -> float:
    """Learns from uniformly drawn, answered contacts on the model's own columns, every category one-hot."""
    draw = np.random.default_rng((seed, 5))
    shown = (draw.random(learn.permitted.shape) * learn.permitted).argmax(axis=1)
    index = np.arange(len(shown))
    chances = learn.gain[index, shown] / np.asarray(values)[shown]
    model = _pipeline().fit(np.nan_to_num(learn.rows[index, shown]), draw.random(len(shown)) < chances)
    score = np.zeros(judge.permitted.shape)
    score[judge.permitted] = model.predict_proba(np.nan_to_num(judge.rows[judge.permitted]))[:, 1]
    return _reward_of(score * np.asarray(values), judge)


def card(seed: int, configuration: Configuration, at: int, sizes: tuple[int, int] = (LEARN, JUDGE)) -> Card:
    """The card of one seed; `sizes` are the contacts the logistic model learns from and all policies are judged on."""
    people = populate(seed, max(sum(sizes) // 2, 1))
    made = table_of(people, contact(people, sum(sizes)), configuration, at)
    learn, judge = (
        Table(made.rows[part], made.permitted[part], made.gain[part])
        for part in (slice(0, sizes[0]), slice(sizes[0], None))
    )
    values = [action.value * action.lever for action in configuration.catalogue.placed(PLACEMENT)]
    rewards = {
        "uniform": float(np.nanmean(judge.gain, axis=1).mean()),
        "constant": _constant(judge),
        "logistic": _logistic(learn, judge, seed, values),
        "oracle": float(np.nanmax(judge.gain, axis=1).mean()),
    }
    hundred = {name: 100.0 * reward for name, reward in rewards.items()}
    return Card(seed=seed, contacts=sizes[1], permitted=float(judge.permitted.sum(axis=1).mean()), **hundred)
