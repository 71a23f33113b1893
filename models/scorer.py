"""What gives candidates their probabilities: the trained model, or the assumed rates while there is none. Knows nothing
of decisions, of files or of how a model was trained."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

import lightgbm
import msgspec
import numpy as np
import numpy.typing as npt

from features.spec import FEATURES, INDEX
from models.encoding import ACTION, Encoder, Encoding, crossed_name

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
PRIOR_VERSION = "prior"
PRIOR_COLUMN = "action_prior_rate"
CROSSED_FILE, ENSEMBLE_FILE = "crossed.txt", "ensemble.json"
MODEL_FILE, ENCODING_FILE, CALIBRATION_FILE, CARD_FILE = "model.txt", "encoding.json", "calibration.json", "card.json"
SPEC_OF: dict[str, str] = {feature.name: feature.spec_hash for feature in FEATURES}
_SIDES = {crossed_name(feature.name): (ACTION, feature.name) for feature in FEATURES}


class ModelError(Exception):
    """Base of everything the models raise on purpose."""


class Unfit(ModelError):
    """A stored model that must not serve: it cannot be read, or a column it uses means something else now."""


class Scorer(Protocol):
    """Gives each row of shape (rows, len(COLUMNS)) the probability of a good outcome when shown, in [0, 1]."""

    @property
    def version(self) -> str: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    def probabilities(self, rows: Rows) -> Floats: ...


class Calibration(msgspec.Struct, frozen=True):
    """A monotone curve from raw to calibrated probability, linear between breakpoints, flat beyond them."""

    kind: str
    raw: tuple[float, ...] = (0.0, 1.0)
    calibrated: tuple[float, ...] = (0.0, 1.0)

    def apply(self, raw: Floats) -> Floats:
        return np.interp(raw, self.raw, self.calibrated)


class PriorModel:
    """Cold start: the rate each action is assumed to have, whoever it is shown to."""

    version = PRIOR_VERSION
    columns: tuple[str, ...] = (PRIOR_COLUMN,)

    def probabilities(self, rows: Rows) -> Floats:
        return rows[:, INDEX[PRIOR_COLUMN]].astype(np.float64)


class Boosters(msgspec.Struct, frozen=True, eq=False):
    """What a model's trees are in. `plain` reads the columns and knows what to expect of an action it never met;
    `crossed` reads every category crossed with the action too and speaks of actions it has met; `members` are plain
    ones that learned from resampled people, where there are any."""

    plain: lightgbm.Booster
    crossed: lightgbm.Booster
    members: tuple[lightgbm.Booster, ...] = ()


class Model:
    """A LightGBM response model with its encoding and calibration: the mean of what its boosters say, in log-odds.
    `columns` are the feature columns its trees use."""

    def __init__(self, version: str, boosters: Boosters, encoding: Encoding, calibration: Calibration) -> None:
        self.version = version
        self.boosters = boosters
        self.encoding = encoding
        self.calibration = calibration
        self.columns: tuple[str, ...] = used_by(boosters, encoding)
        self._encoder = Encoder(encoding)

    @property
    def members(self) -> tuple[lightgbm.Booster, ...]:
        return self.boosters.members

    def draws(self, rows: Rows) -> Floats:
        """What each member gives each row: shape (rows, members), calibrated like the model itself."""
        encoded = self._encoder.encode(rows)
        raw = [member.predict(encoded, num_threads=1, validate_features=False) for member in self.members]
        return np.clip(self.calibration.apply(np.asarray(raw, dtype=np.float64)), 0.0, 1.0).T

    def raw(self, rows: Rows) -> Floats:
        """Probabilities before calibration."""
        return 1.0 / (1.0 + np.exp(-self._said(rows)[:, 0]))

    def probabilities(self, rows: Rows) -> Floats:
        return np.clip(self.calibration.apply(self.raw(rows)), 0.0, 1.0)

    def contributions(self, rows: Rows) -> Floats:
        """What each column adds to the log-odds (SHAP), shape (rows, len(encoding.columns)). What a crossed column adds
        is the other column's: the action is what all is about."""
        said, width = self._said(rows, pred_contrib=True), len(self.encoding.columns)
        shares = said[:, :width].copy()
        for place, name in enumerate(self.encoding.crosses, start=width):
            shares[:, self.encoding.columns.index(name)] += said[:, place]
        return shares

    def _said(self, rows: Rows, *, pred_contrib: bool = False) -> Floats:
        encoded = self._encoder.encode(rows)
        own = _predict(self.boosters.plain, encoded, pred_contrib=pred_contrib)
        both = _predict(self.boosters.crossed, self._encoder.cross(encoded), pred_contrib=pred_contrib)
        wide = np.zeros_like(both)
        wide[:, : own.shape[1]] = own
        return np.where(self._encoder.met(encoded)[:, None], (wide + both) / 2.0, wide)


def _predict(booster: lightgbm.Booster, encoded: Rows, *, pred_contrib: bool) -> Floats:
    """Log-odds, shape (rows, 1), or each column's share of them and the base, shape (rows, columns + 1)."""
    # two threads make the slowest answers slower; one row of work is far below the cost of a thread
    said = booster.predict(
        encoded, raw_score=not pred_contrib, pred_contrib=pred_contrib, num_threads=1, validate_features=False
    )
    width = booster.num_feature() + 1 if pred_contrib else 1
    return np.asarray(said, dtype=np.float64).reshape(len(encoded), width)


def gains_of(boosters: Boosters, encoding: Encoding) -> dict[str, float]:
    """Total gain per feature column; what a crossed column gains is the other column's and the action's as well."""
    found = dict.fromkeys(encoding.columns, 0.0)
    for booster in (boosters.plain, boosters.crossed):
        for name, gain in zip(booster.feature_name(), booster.feature_importance("gain").tolist(), strict=True):
            for column in _SIDES.get(name, (name,)):
                found[column] += gain
    return found


def used_by(boosters: Boosters, encoding: Encoding) -> tuple[str, ...]:
    """The columns that at least one split looks at, in the encoding's order."""
    return tuple(name for name, gain in gains_of(boosters, encoding).items() if gain > 0.0)


def used_columns(card: Mapping[str, Any]) -> dict[str, str]:
    """Column name to spec hash of every column the model uses, as its card says."""
    return dict(card.get("columns", {}))


def changed_columns(card: Mapping[str, Any]) -> list[str]:
    """The used columns that are gone or whose spec hash is another now."""
    return sorted(name for name, spec in used_columns(card).items() if SPEC_OF.get(name) != spec)


def load_model(files: Mapping[str, bytes]) -> Model:
    """The model of a stored bundle. Raises `Unfit` where a used column has changed or the files cannot be read."""
    try:
        card = json.loads(files[CARD_FILE])
        changed = changed_columns(card)
        if changed:
            raise Unfit(f"columns it uses have changed: {', '.join(changed)}; train a new model")
        calibration = msgspec.json.decode(files[CALIBRATION_FILE], type=Calibration)
        encoding = msgspec.json.decode(files[ENCODING_FILE], type=Encoding)
        plain, crossed = (lightgbm.Booster(model_str=files[name].decode()) for name in (MODEL_FILE, CROSSED_FILE))
        members = tuple(lightgbm.Booster(model_str=member) for member in json.loads(files.get(ENSEMBLE_FILE, b"[]")))
        return Model(card["version"], Boosters(plain, crossed, members), encoding, calibration)
    except (KeyError, ValueError, msgspec.MsgspecError, lightgbm.basic.LightGBMError) as error:
        raise Unfit(f"the stored model cannot be read ({type(error).__name__}); train or import it again") from error
