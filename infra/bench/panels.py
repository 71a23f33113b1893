"""Two panels of real choices as bandits of which everything is known: a household's choices among four brands, so the
value of any policy is a sum and not an estimate. Knows no estimator; the files are not part of the project."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.catalog import Exploration
from engine.decision import Scored, propensities
from infra.settings import Settings
from models.evidence import Evidence

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
NAMES = ("cracker", "catsup")
BESIDE = Path(__file__).parents[3] / "shared" / "data"
LOGGING: Mapping[str, Exploration] = {
    "uniform": Exploration("uniform"),
    "epsilon": Exploration("epsilon", 0.3),
    "softmax": Exploration("softmax", 0.1, 0.5),
}
GREEDY = Exploration("none")


class NoData(RuntimeError):
    """The panels are not where they are looked for."""


class Panel(msgspec.Struct, frozen=True, eq=False):
    """n choices in order of time within each household: whose (from 0), what was displayed, featured and at what price,
    shape (n, 3 x brands), which brand was chosen, and which was chosen before (-1: none)."""

    name: str
    brands: tuple[str, ...]
    household: Ints
    offers: Floats
    choice: Ints
    before: Ints

    def __len__(self) -> int:
        return len(self.choice)

    @property
    def chosen(self) -> Floats:
        """1 for the chosen brand: shape (n, brands)."""
        return np.eye(len(self.brands))[self.choice]


def load_panel(name: str) -> Panel:
    """Raises `NoData` where the file is not found."""
    file = f"panel_{name}.csv.gz"
    wanted = Settings().eval_data
    found = next((place / file for place in (wanted, BESIDE) if place and (place / file).exists()), None)
    if found is None:
        raise NoData(f"{file} is not there; point RAPPORT_EVAL_DATA at the directory that holds it")
    return panel_of(name, pd.read_csv(found))


def panel_of(name: str, frame: pd.DataFrame) -> Panel:
    """A panel of a table with `id`, `choice`, and `disp.`, `feat.` and `price.` of each brand."""
    brands = tuple(column.removeprefix("price.") for column in frame.columns if column.startswith("price."))
    columns = [f"{kind}.{brand}" for kind in ("disp", "feat", "price") for brand in brands]
    household: Ints = np.unique(frame["id"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    choice: Ints = np.asarray([brands.index(brand) for brand in frame["choice"]], dtype=np.int64)
    before: Ints = np.asarray(pd.Series(choice).groupby(household).shift(fill_value=-1), dtype=np.int64)
    return Panel(name, brands, household, frame[columns].to_numpy(dtype=np.float64), choice, before)


class Bandit(msgspec.Struct, frozen=True, eq=False):
    """A panel as a bandit: for each choice the probability of each brand under the policy that logs, the two that are
    compared, and what the challenger expects of each brand; all of shape (n, brands)."""

    panel: Panel
    logging: Floats
    challenger: Floats
    champion: Floats
    expected: Floats

    @property
    def truth(self) -> tuple[float, float]:
        """What challenger and champion are worth per choice."""
        chosen = self.panel.chosen
        new, old = ((policy * chosen).sum(axis=1).mean() for policy in (self.challenger, self.champion))
        return float(new), float(old)


def distribution(scores: Floats, exploration: Exploration) -> Floats:
    """How likely the engine shows each brand given these scores: shape (n, brands)."""
    made = [
        propensities([Scored(str(at), score, 1.0) for at, score in enumerate(row)], range(len(row)), exploration)
        for row in scores.tolist()
    ]
    return np.asarray(made, dtype=np.float64)


def bargain(panel: Panel) -> Ints:
    """The brand that stands out most: displayed, featured, or cheap beside its usual price."""
    displayed, featured, price = np.split(panel.offers, 3, axis=1)
    cheap = (price.mean(axis=0) - price) / price.std(axis=0)
    found: Ints = (displayed + featured + cheap).argmax(axis=1)
    return found


@lru_cache(maxsize=4)
def learnt(panel: Panel) -> Floats:
    """How often each brand is chosen after the same choice and beside the same bargain: shape (n, brands)."""
    brands = len(panel.brands)
    cell = (panel.before + 1) * brands + bargain(panel)
    counts = np.bincount(cell * brands + panel.choice, minlength=(brands + 1) * brands * brands)
    table = counts.reshape(-1, brands) + 1.0
    made: Floats = (table / table.sum(axis=1, keepdims=True))[cell]
    return made


def usual(panel: Panel) -> Floats:
    """What is chosen how often by everybody, and a little more for the brand chosen before: shape (n, brands)."""
    shares = np.bincount(panel.choice, minlength=len(panel.brands)) / len(panel)
    return shares + 0.5 * np.eye(len(panel.brands) + 1)[panel.before][:, : len(panel.brands)]


def redrawn(bandit: Bandit, seed: Sequence[int]) -> Evidence:
    """One log the bandit could have left: households drawn with replacement, each a person of its own, and an action
    drawn for each of their choices."""
    draw = np.random.default_rng(list(seed))
    panel = bandit.panel
    people = int(panel.household.max()) + 1
    starts = np.searchsorted(panel.household, np.arange(people + 1))
    picked = draw.integers(0, people, people)
    rows = np.concatenate([np.arange(starts[one], starts[one + 1]) for one in picked])
    who = np.repeat(np.arange(people), starts[picked + 1] - starts[picked])
    logging = bandit.logging[rows]
    shown = (draw.random(len(rows))[:, None] > logging.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return _evidence(bandit, (rows, shown), [f"household {one}" for one in who.tolist()])


def _evidence(bandit: Bandit, drawn: tuple[Ints, Ints], people: list[str]) -> Evidence:
    rows, shown = drawn
    ours, theirs, logging = bandit.challenger[rows], bandit.champion[rows], bandit.logging[rows]
    expected, shared, at = bandit.expected[rows], np.minimum(ours, theirs), np.arange(len(rows))
    numbers = {
        "gain": (bandit.panel.choice[rows] == shown).astype(np.float64),
        "propensity": logging[at, shown],
        "challenger": ours[at, shown],
        "champion": theirs[at, shown],
        "shared": shared[at, shown],
        "apart": np.where(shared.sum(axis=1) > 1.0 - 1e-12, 0.0, 1.0 - shared.sum(axis=1)),
        "expected": expected[at, shown],
        "expected_challenger": (ours * expected).sum(axis=1),
        "expected_champion": (theirs * expected).sum(axis=1),
        "unsupported": np.where(logging <= 0.0, ours, 0.0).sum(axis=1),
        "certain": (logging.max(axis=1) >= 1.0).astype(np.float64),
        "at": at.astype(np.float64),
    }
    return Evidence(numbers, people, [bandit.panel.name] * len(rows), {})
