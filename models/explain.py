"""Why the model gave the winner its probability: SHAP contributions of one row of a decision record. Knows nothing of
how the decision was drawn, and is too slow for the hot path."""

from typing import Any

import numpy as np

from engine.records import DecisionRecord
from features.spec import COLUMNS, FEATURES, SPEC_HASH, Feature
from models.scorer import Model, ModelError, Rows, Scorer

MOST = 8
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}


class Unexplainable(ModelError):
    """A record that this model cannot explain."""


def explain(record: DecisionRecord, model: Scorer, most: int = MOST) -> list[dict[str, Any]]:
    """The columns that moved the first action's log-odds most, as reasons with `feature` and `contribution`.

    Empty where nothing was decided or the assumed rates decided. Raises `Unexplainable` for another model's record.
    """
    if model.version != record.model:
        raise Unexplainable(f"the decision was made by model {record.model}; explain it with that one")
    if not record.slate or not isinstance(model, Model):
        return []
    if record.spec_hash != SPEC_HASH:
        raise Unexplainable("the decision's vectors were logged under another feature spec")
    rows: Rows = np.frombuffer(record.vectors, dtype="<f4").reshape(len(record.candidates), len(COLUMNS))
    row = rows[[record.slate[0][0]]]
    found = contributions(model, row)
    ordered = sorted(found.items(), key=lambda item: (-abs(item[1]), item[0]))[:most]
    values = dict(zip(COLUMNS, row[0].tolist(), strict=True))
    return [_reason(BY_NAME[name], values[name], moved) for name, moved in ordered]


def contributions(model: Model, row: Rows) -> dict[str, float]:
    """Column to its SHAP value in log-odds for one row of shape (1, len(COLUMNS)); zeros and gone columns left out."""
    named = zip(model.encoding.columns, model.contributions(row)[0].tolist(), strict=True)
    return {name: moved for name, moved in named if moved and name in BY_NAME}


def _reason(feature: Feature, value: float, moved: float) -> dict[str, Any]:
    seen = "not visible" if value != value else "" if feature.kind == "category" else f"{value:.3g}"
    said = f"{feature.meaning}: {seen}" if seen else feature.meaning
    direction = "speaks for it" if moved > 0 else "speaks against it"
    text = f"{said[:1].upper()}{said[1:]} – {direction}."
    return {"code": "model", "text": text, "feature": feature.name, "contribution": round(moved, 4)}
