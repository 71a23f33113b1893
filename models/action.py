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
from models.encoding import Encoder, Encoding, encoding_of
from models.evaluate import effective_size
from models.policy import explored_share
from models.scorer import Calibration, Floats, Model

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

    booster: lightgbm.Booster
    encoding: Encoding
    calibration: Calibration
    parameters: dict[str, Any]
    trees: int
    calibrated_on: str
    ensemble: tuple[lightgbm.Booster, ...] = ()


def parts_of(made: Examples, shares: Shares = USUAL_SHARES) -> Parts:
    """Four parts in order of time. Raises `NothingToLearn` below 200 examples."""
    count = len(made)
    if count < FEWEST:
        raise NothingToLearn(f"{count} decisions with an outcome; at least {FEWEST} are needed to learn and to judge")
    ends = [int(count * edge) for edge in np.cumsum([shares.fit, shares.stop, shares.calibrate])]
    bounds = zip([0, *ends], [*ends, count], strict=True)
    return Parts(*(Examples(made.logged[a:b], {}) for a, b in bounds))


def fit(parts: Parts, options: Options = USUAL) -> Fitted:
    """Learn, stop early and calibrate, each on its own part."""
    labels = np.concatenate([parts.fit.rewards, parts.stop.rewards])
    settings = {**_base(options, labels), **PARAMETERS, **options.parameters}
    encoding = encoding_of(parts.fit.matrix)
    train = _dataset(parts.fit, encoding, options)
    booster = lightgbm.train(
        {**settings, **_direction(encoding)},
        train,
        num_boost_round=options.rounds,
        valid_sets=[_dataset(parts.stop, encoding, options, train)],
        callbacks=[lightgbm.early_stopping(options.patience, verbose=False)],
    )
    trees = booster.best_iteration or booster.current_iteration()
    kept = lightgbm.Booster(model_str=booster.model_to_string(num_iteration=trees))
    raw = np.asarray(kept.predict(Encoder(encoding).encode(parts.calibrate.matrix), num_threads=options.threads))
    ensemble = tuple(_member(parts.fit, (encoding, trees), options, number) for number in range(options.members))
    weights, rows = calibration_weights(parts.calibrate)
    curve = calibrate(raw, parts.calibrate.rewards, weights)
    return Fitted(kept, encoding, curve, settings, trees, rows, ensemble)


def calibration_weights(part: Examples) -> tuple[Floats, str]:
    """What each decision counts when probabilities are calibrated: how likely exploration drew it. What a policy chose
    for its score it chose partly by luck, so there its probabilities look too high. Where fewer than a hundred
    decisions were explored all count alike. Says which."""
    weights = np.asarray([explored_share(one) for one in part.logged], dtype=np.float64)
    if effective_size(weights) < FEWEST_EXPLORED:
        return np.ones(len(part)), ALL
    return weights, EXPLORATION


def _direction(encoding: Encoding) -> dict[str, Any]:
    """The direction that the table of features declares, column by column."""
    signs = [_MONOTONE.get(name, 0) for name in encoding.columns]
    return {"monotone_constraints": signs} if any(signs) else {}


def _member(part: Examples, shape: tuple[Encoding, int], options: Options, number: int) -> lightgbm.Booster:
    """A model of the same size from a bootstrap of people: each counts as often as a Poisson draw of mean 1 says."""
    encoding, trees = shape
    names, person = np.unique(np.asarray(part.people), return_inverse=True)
    counts = np.random.default_rng((options.seed, number)).poisson(1.0, len(names))[person].astype(np.float64)
    own = msgspec.structs.replace(options, seed=options.seed + 1 + number)
    train = _dataset(part, encoding, own)
    train.set_weight(np.asarray(train.get_weight(), dtype=np.float64) * counts)
    settings = {**_base(own, part.rewards), **PARAMETERS, **own.parameters, **_direction(encoding)}
    return lightgbm.train(settings, train, num_boost_round=trees)


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


def _dataset(
    part: Examples, encoding: Encoding, options: Options, reference: lightgbm.Dataset | None = None
) -> lightgbm.Dataset:
    weights = np.minimum(1.0 / part.propensities, options.clip) if options.clip > 0.0 else np.ones(len(part))
    rows = Encoder(encoding).encode(part.matrix)
    rows[:, [place for place, name in enumerate(encoding.columns) if name in options.without]] = np.nan
    return lightgbm.Dataset(
        rows,
        part.rewards,
        weight=weights / weights.mean(),
        reference=reference,
        feature_name=list(encoding.columns),
        categorical_feature=list(encoding.categories),
        params={"verbose": -1},
    )


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
    return Model(version, fitted.booster, fitted.encoding, fitted.calibration, fitted.ensemble)


def importance_of(fitted: Fitted) -> dict[str, float]:
    """Total gain per column, largest first; a column that no tree splits on is left out."""
    gains = zip(fitted.encoding.columns, fitted.booster.feature_importance("gain").tolist(), strict=True)
    return dict(sorted(((name, gain) for name, gain in gains if gain > 0.0), key=lambda item: -item[1]))
