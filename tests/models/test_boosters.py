"""What a model says is the mean of its boosters in log-odds; of an action it never met, what its attributes say."""

import msgspec
import numpy as np
import pytest

from engine.signals import DAY
from features.spec import COLUMNS, INDEX
from models.action import fit, parts_of
from models.dataset import Scope, examples_of
from models.encoding import ACTION, Encoder
from models.scorer import CROSSED_FILE, Model, Rows, Unfit, load_model, used_by
from models.train import train
from tests.models.learnt import QUICK, small_table, small_training
from tests.models.world import NOW

NEVER_MET = 999.0


def log_odds(chances: np.ndarray) -> np.ndarray:
    return np.log(chances / (1.0 - chances))


def some(model: Model) -> Rows:
    assert model.encoding.columns == COLUMNS
    return examples_of(small_table(), Scope(NOW, DAY)).matrix[:50]


def alone(model: Model, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    encoder = Encoder(model.encoding)
    encoded = encoder.encode(rows)
    plain = model.boosters.plain.predict(encoded, raw_score=True)
    return np.asarray(plain), np.asarray(model.boosters.crossed.predict(encoder.cross(encoded), raw_score=True))


def test_the_mean_of_both_is_said() -> None:
    model = load_model(small_training().files)
    plain, crossed = alone(model, some(model))
    assert not np.allclose(plain, crossed)
    np.testing.assert_allclose(log_odds(model.raw(some(model))), (plain + crossed) / 2.0)


def test_of_an_action_never_met_only_the_plain_one_speaks() -> None:
    model = load_model(small_training().files)
    rows = some(model).copy()
    rows[:, INDEX[ACTION]] = NEVER_MET
    np.testing.assert_allclose(log_odds(model.raw(rows)), alone(model, rows)[0])


@pytest.mark.parametrize("action", [None, NEVER_MET])
def test_contributions_add_up_to_what_is_said(action: float | None) -> None:
    model = load_model(small_training().files)
    rows = some(model).copy()
    rows[:, INDEX[ACTION]] = rows[:, INDEX[ACTION]] if action is None else action
    left = log_odds(model.raw(rows)) - model.contributions(rows).sum(axis=1)
    np.testing.assert_allclose(left, left[0], atol=1e-9)


def test_a_crossed_split_counts_as_a_look_at_both_columns() -> None:
    fitted = fit(parts_of(examples_of(small_table(), Scope(NOW, DAY))), QUICK.learning)
    assert set(used_by(fitted.boosters, fitted.encoding)) == set(small_training().card.columns)
    names = fitted.boosters.crossed.feature_name()
    gains = dict(zip(names, fitted.boosters.crossed.feature_importance("gain").tolist(), strict=True))
    crossed = [name.removeprefix(f"{ACTION}_x_") for name, gain in gains.items() if gain and name not in COLUMNS]
    assert crossed
    assert {ACTION, *crossed} <= set(small_training().card.columns)


def test_a_bundle_without_one_of_them_serves_nobody() -> None:
    files = {name: file for name, file in small_training().files.items() if name != CROSSED_FILE}
    with pytest.raises(Unfit, match="train or import it again"):
        load_model(files)


def test_both_decide_the_version() -> None:
    options = msgspec.structs.replace(QUICK.learning, seed=QUICK.learning.seed + 1)
    again = train(small_table(), NOW, DAY, msgspec.structs.replace(QUICK, learning=options))
    assert again.version != small_training().version


def test_no_rows_have_no_probabilities() -> None:
    model = load_model(small_training().files)
    assert model.probabilities(some(model)[:0]).shape == (0,)
