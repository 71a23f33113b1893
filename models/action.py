"""The response model: how likely a good outcome is when an action is shown to a person in a context. Learns from four
parts in order of time (fit, early stop, calibrate, judge) and never sees the last one."""

from typing import Any

import lightgbm
import msgspec
import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from features.spec import FEATURES
from models.dataset import Examples, NothingToLearn
from models.encoding import ABOUT_ACTION, Encoder, Encoding, crossed_name, encoding_of
from models.evaluate import effective_size
from models.policy import explored_share
from models.scorer import Boosters, Calibration, Floats, Model, Rows, gains_of

FEWEST = 200
FEWEST_FOR_ISOTONIC = 5000
FEWEST_EXPLORED = 100.0
# Extra trees (a random threshold per candidate split) find action × context interactions within a few thousand
# decisions, where greedy splits chase single lucky cells; light smoothing keeps rare reason × action cells learnable.
PARAMETERS: dict[str, Any] = {
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 10,
    "extra_trees": True,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 2.0,
    "cat_smooth": 1.0,
    "cat_l2": 1.0,
    "min_data_per_group": 5,
    "max_cat_threshold": 64,
    "max_cat_to_onehot": 4,
}
# Reason × action as one category of many small cells: greedy splits find the good ones where heavy smoothing keeps the
# lucky ones out. This overtakes the trees above once there are about 10,000 decisions; the mean is never far behind.
CROSSED: dict[str, Any] = {"extra_trees": False, "num_leaves": 12, "cat_smooth": 10.0, "cat_l2": 10.0}
# Every decision is learned from twice, the second time for so much and not told which action it was: what the trees
# say of an action they never met then rests on its attributes, not on whatever side of a split the unknown falls to.
ANONYMOUS = 0.1


class Shares(msgspec.Struct, frozen=True):
    """How much of the examples each part but the last takes, in order of time; the rest is the judge's."""

    fit: float = 0.5
    stop: float = 0.1
    calibrate: float = 0.1


USUAL_SHARES = Shares()


class Options(msgspec.Struct, frozen=True):
    """How to learn. `parameters` overrides LightGBM's. A row weighs the inverse of its propensity, at most `clip` (0
    weighs all alike): what the old policy liked to show must not drown what it hardly ever tried. `members` is how many
    models are learned beside it, each from resampled people, for placements that draw from an ensemble. `without` are
    columns it must not see."""

    shares: Shares = USUAL_SHARES
    parameters: dict[str, Any] = {}
    rounds: int = 600
    patience: int = 40
    clip: float = 5.0
    seed: int = 7
    threads: int = 2
    members: int = 0
    without: tuple[str, ...] = ()


USUAL = Options()


_MONOTONE = {feature.name: feature.monotone for feature in FEATURES}
EXPLORATION, ALL = "exploration", "all decisions"


class Parts(msgspec.Struct, frozen=True, eq=False):
    """The examples cut by time; the judge's part is kept whole for off-policy evaluation."""

    fit: Examples
    stop: Examples
    calibrate: Examples
    judge: Examples


class Fitted(msgspec.Struct, frozen=True, eq=False):
    """A model that no judge has seen yet, with how it came to be."""

    boosters: Boosters
    encoding: Encoding
    calibration: Calibration
    parameters: dict[str, Any]
    calibrated_on: str

    @property
    def trees(self) -> int:
        return self.boosters.plain.num_trees() + self.boosters.crossed.num_trees()


def parts_of(made: Examples, shares: Shares = USUAL_SHARES) -> Parts:
    """Four parts in order of time. Raises `NothingToLearn` below 200 examples."""
    count = len(made)
    if count < FEWEST:
        raise NothingToLearn(f"{count} decisions with an outcome; at least {FEWEST} are needed to learn and to judge")
    ends = [int(count * edge) for edge in np.cumsum([shares.fit, shares.stop, shares.calibrate])]
    bounds = zip([0, *ends], [*ends, count], strict=True)
    return Parts(*(Examples(made.logged[a:b], {}) for a, b in bounds))


class _Table(msgspec.Struct, frozen=True, eq=False):
    """What a booster reads: rows of named columns, labels and weights."""

    rows: Rows
    labels: Floats
    weights: Floats
    columns: tuple[str, ...]
    categories: tuple[str, ...]

    def dataset(self, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        return lightgbm.Dataset(
            self.rows,
            self.labels,
            weight=self.weights / self.weights.mean(),
            reference=reference,
            feature_name=list(self.columns),
            categorical_feature=list(self.categories),
            params={"verbose": -1},
        )

    def anonymous(self) -> "_Table":
        """The same, and once more without saying which action it was."""
        hidden = self.rows.copy()
        hidden[:, [self.columns.index(name) for name in ABOUT_ACTION]] = np.nan
        weights = np.concatenate([self.weights * (1.0 - ANONYMOUS), self.weights * ANONYMOUS])
        rows, labels = np.concatenate([self.rows, hidden]), np.concatenate([self.labels, self.labels])
        return _Table(rows, labels, weights, self.columns, self.categories)


def fit(parts: Parts, options: Options = USUAL) -> Fitted:
    """Learn, stop early and calibrate, each on its own part."""
    settings = {**_base(options, np.concatenate([parts.fit.rewards, parts.stop.rewards])), **PARAMETERS}
    encoding = encoding_of(parts.fit.matrix)
    learned, stopped = (_table(part, encoding, options) for part in (parts.fit, parts.stop))
    plain = _grown((learned.anonymous(), stopped), {**settings, **options.parameters}, options)
    crossing = {**settings, **CROSSED, **options.parameters}
    crossed = _grown((_crossed(learned, encoding), _crossed(stopped, encoding)), crossing, options)
    shape = (encoding, plain.num_trees())
    members = tuple(_member(parts.fit, shape, options, number) for number in range(options.members))
    boosters = Boosters(plain, crossed, members)
    raw = Model("", boosters, encoding, Calibration("none")).raw(parts.calibrate.matrix)
    weights, rows = calibration_weights(parts.calibrate)
    curve = calibrate(raw, parts.calibrate.rewards, weights)
    return Fitted(boosters, encoding, curve, {**settings, **options.parameters, "crossed": crossing}, rows)


def _grown(tables: tuple[_Table, _Table], settings: dict[str, Any], options: Options) -> lightgbm.Booster:
    """Trees from the first table, as many as the second says."""
    learned, stopped = tables
    train = learned.dataset()
    booster = lightgbm.train(
        {**settings, **_direction(learned.columns)},
        train,
        num_boost_round=options.rounds,
        valid_sets=[stopped.dataset(train)],
        callbacks=[lightgbm.early_stopping(options.patience, verbose=False)],
    )
    trees = booster.best_iteration or booster.current_iteration()
    return lightgbm.Booster(model_str=booster.model_to_string(num_iteration=trees))


def calibration_weights(part: Examples) -> tuple[Floats, str]:
    """What each decision counts when probabilities are calibrated: how likely exploration drew it. What a policy chose
    for its score it chose partly by luck, so there its probabilities look too high. Where fewer than a hundred
    decisions were explored all count alike. Says which."""
    weights = np.asarray([explored_share(one) for one in part.logged], dtype=np.float64)
    if effective_size(weights) < FEWEST_EXPLORED:
        return np.ones(len(part)), ALL
    return weights, EXPLORATION


def _direction(columns: tuple[str, ...]) -> dict[str, Any]:
    """The direction that the table of features declares, column by column."""
    signs = [_MONOTONE.get(name, 0) for name in columns]
    return {"monotone_constraints": signs} if any(signs) else {}


def _member(part: Examples, shape: tuple[Encoding, int], options: Options, number: int) -> lightgbm.Booster:
    """A model of the same size from a bootstrap of people: each counts as often as a Poisson draw of mean 1 says."""
    encoding, trees = shape
    names, person = np.unique(np.asarray(part.people), return_inverse=True)
    counts = np.random.default_rng((options.seed, number)).poisson(1.0, len(names))[person].astype(np.float64)
    own = msgspec.structs.replace(options, seed=options.seed + 1 + number)
    table = _table(part, encoding, own)
    drawn = msgspec.structs.replace(table, weights=table.weights * counts).anonymous()
    settings = {**_base(own, part.rewards), **PARAMETERS, **own.parameters, **_direction(table.columns)}
    return lightgbm.train(settings, drawn.dataset(), num_boost_round=trees)


def _base(options: Options, labels: Floats) -> dict[str, Any]:
    whole = set(np.unique(labels).tolist()) <= {0.0, 1.0}
    return {
        "objective": "binary" if whole else "cross_entropy",
        "metric": "binary_logloss" if whole else "cross_entropy",
        "verbose": -1,
        "num_threads": options.threads,
        "seed": options.seed,
        "deterministic": True,
        "force_row_wise": True,
    }


def _table(part: Examples, encoding: Encoding, options: Options) -> _Table:
    weights = np.minimum(1.0 / part.propensities, options.clip) if options.clip > 0.0 else np.ones(len(part))
    rows = Encoder(encoding).encode(part.matrix)
    rows[:, [place for place, name in enumerate(encoding.columns) if name in options.without]] = np.nan
    return _Table(rows, part.rewards, weights, encoding.columns, tuple(encoding.categories))


def _crossed(table: _Table, encoding: Encoding) -> _Table:
    names = tuple(map(crossed_name, encoding.crosses))
    rows = Encoder(encoding).cross(table.rows)
    columns, categories = (*table.columns, *names), (*table.categories, *names)
    return _Table(rows, table.labels, table.weights, columns, categories)


def calibrate(raw: Floats, rewards: Floats, weights: Floats | None = None) -> Calibration:
    """Isotonic where there is enough to see a shape, else Platt's two numbers, as breakpoints of one curve. A decision
    of weight 0 does not count; without weights all count alike."""
    counted = np.ones(len(raw)) if weights is None else weights
    raw, rewards, counted = (part[counted > 0.0] for part in (raw, rewards, counted))
    labels = (rewards > 0.5).astype(int)
    if labels.min(initial=1) == labels.max(initial=0):
        return Calibration("none")
    if effective_size(counted) >= FEWEST_FOR_ISOTONIC:
        curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(raw, rewards, counted)
        return _breakpoints("isotonic", curve.X_thresholds_, curve.y_thresholds_)
    return _platt(raw, labels, counted)


def _logit(chances: Floats) -> Floats:
    bounded = np.clip(chances, 1e-6, 1.0 - 1e-6)
    return np.log(bounded / (1.0 - bounded))


def _platt(raw: Floats, labels: Any, weights: Floats) -> Calibration:
    line = LogisticRegression(C=1e3).fit(_logit(raw)[:, None], labels, weights)
    slope, offset = float(line.coef_[0, 0]), float(line.intercept_[0])
    if slope <= 0.0:
        return Calibration("none")
    grid = np.linspace(0.0, 1.0, 101)
    return _breakpoints("platt", grid, 1.0 / (1.0 + np.exp(-(slope * _logit(grid) + offset))))


def _breakpoints(kind: str, raw: Floats, calibrated: Floats) -> Calibration:
    return Calibration(kind, tuple(map(float, raw)), tuple(map(float, calibrated)))


def as_model(version: str, fitted: Fitted) -> Model:
    return Model(version, fitted.boosters, fitted.encoding, fitted.calibration)


def importance_of(fitted: Fitted) -> dict[str, float]:
    """Total gain per column, largest first; a column that no tree splits on is left out."""
    gains = gains_of(fitted.boosters, fitted.encoding).items()
    return dict(sorted(((name, gain) for name, gain in gains if gain > 0.0), key=lambda item: -item[1]))
