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
from models.encoding import Encoder, Encoding

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
PRIOR_VERSION = "prior"
PRIOR_COLUMN = "action_prior_rate"
ENSEMBLE_FILE = "ensemble.json"
MODEL_FILE, ENCODING_FILE, CALIBRATION_FILE, CARD_FILE = "model.txt", "encoding.json", "calibration.json", "card.json"
SPEC_OF: dict[str, str] = {feature.name: feature.spec_hash for feature in FEATURES}


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


class Model:
    """A LightGBM response model with its encoding and calibration. `columns` are the feature columns its trees use,
    `ensemble` the members that learned from resampled people, where there are any."""

    def __init__(
        self,
        version: str,
        booster: lightgbm.Booster,
        encoding: Encoding,
        calibration: Calibration,
        ensemble: tuple[lightgbm.Booster, ...] = (),
    ) -> None:
        self.version = version
        self.booster = booster
        self.encoding = encoding
        self.calibration = calibration
        self.ensemble = ensemble
        self.columns: tuple[str, ...] = used_by(booster, encoding)
        self._encoder = Encoder(encoding)

    def matrix(self, rows: Rows) -> Rows:
        """What the booster reads: shape (rows, len(encoding.columns))."""
        return self._encoder.encode(rows)

    def draws(self, rows: Rows) -> Floats:
        """What each member gives each row: shape (rows, members), calibrated like the model itself."""
        encoded = self._encoder.encode(rows)
        raw = [member.predict(encoded, num_threads=1, validate_features=False) for member in self.ensemble]
        return np.clip(self.calibration.apply(np.asarray(raw, dtype=np.float64)), 0.0, 1.0).T

    def probabilities(self, rows: Rows) -> Floats:
        # two threads make the slowest answers slower; one row of work is far below the cost of a thread
        raw = self.booster.predict(self._encoder.encode(rows), num_threads=1, validate_features=False)
        return np.clip(self.calibration.apply(np.asarray(raw, dtype=np.float64)), 0.0, 1.0)


def used_by(booster: lightgbm.Booster, encoding: Encoding) -> tuple[str, ...]:
    """The columns that at least one split looks at, in the encoding's order."""
    splits = booster.feature_importance("split").tolist()
    return tuple(name for name, count in zip(encoding.columns, splits, strict=True) if count)


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
        booster = lightgbm.Booster(model_str=files[MODEL_FILE].decode())
        members = json.loads(files.get(ENSEMBLE_FILE, b"[]"))
        ensemble = tuple(lightgbm.Booster(model_str=member) for member in members)
        return Model(card["version"], booster, encoding, calibration, ensemble)
    except (KeyError, ValueError, msgspec.MsgspecError, lightgbm.basic.LightGBMError) as error:
        raise Unfit(f"the stored model cannot be read ({type(error).__name__}); train or import it again") from error
