"""Thompson-style exploration end to end: an ensemble from resampled people, draws whose propensities are its votes, and
replay and evaluation that know them."""

from functools import lru_cache

import msgspec
import numpy as np
import pytest

from engine.signals import DAY
from infra.memory_past import MemoryPast
from models.action import Options
from models.dataset import Scope, examples_of, logged_in
from models.policy import distributions, logging_distribution
from models.replay import replay
from models.scorer import ENSEMBLE_FILE, Model, load_model
from models.serving import decide
from models.train import Plan, Trained, train
from tests.models.learnt import logged, offers, small_table, small_training, table_of
from tests.models.world import NOW, PURPOSES, ask, history, setting, view

MEMBERS = 5
LEARNING = Options(rounds=60, patience=15, threads=1, members=MEMBERS)


@lru_cache(maxsize=1)
def drawn_training() -> Trained:
    return train(small_table(), NOW, DAY, Plan(LEARNING))


def model() -> Model:
    return load_model(drawn_training().files)


def test_members_differ_and_agree_with_the_model_on_the_whole() -> None:
    made = examples_of(small_table(), Scope(NOW, DAY))
    draws = model().draws(made.matrix)
    assert draws.shape == (len(made), MEMBERS)
    assert np.all((draws >= 0.0) & (draws <= 1.0))
    assert draws.std(axis=1).max() > 0.01
    assert abs(draws.mean() - model().probabilities(made.matrix).mean()) < 0.05


def test_nobody_pays_for_an_ensemble_that_is_not_asked_for() -> None:
    assert ENSEMBLE_FILE not in small_training().files
    assert load_model(small_training().files).members == ()
    record = decide(ask(view(history())), setting(model(), offers("epsilon", 0.1)))
    assert all(candidate.draws == () for candidate in record.candidates)


def test_a_draw_is_a_vote_and_is_logged_as_one() -> None:
    where = setting(model(), offers("thompson", 0.05))
    past = MemoryPast(where.catalogue, PURPOSES, where.model)
    seen = set()
    for number in range(60):
        record = decide(ask(view(history()), number), where)
        assert all(len(candidate.draws) == MEMBERS for candidate in record.candidates)
        draws = np.asarray([candidate.draws for candidate in record.candidates])
        votes = draws.argmax(axis=0).tolist()
        [(candidate, propensity, _)] = record.slate
        assert propensity == pytest.approx(0.95 * votes.count(candidate) / MEMBERS + 0.05 / 5)
        assert replay(record, past).identical
        seen.add(candidate)
    assert len(seen) > 1


def test_the_log_of_an_ensemble_is_judged_with_its_own_propensities() -> None:
    table = table_of(logged(120, model=model(), own=offers("thompson", 0.1)))
    for one in logged_in(table, Scope(NOW, DAY)):
        assert logging_distribution(one)[one.presented] == pytest.approx(one.propensity)
        [target] = distributions([one], model())
        assert max(target) == pytest.approx(0.92)


def test_training_an_ensemble_twice_gives_the_same_files() -> None:
    again = train(small_table(), NOW, DAY, Plan(msgspec.structs.replace(LEARNING)))
    assert again.files[ENSEMBLE_FILE] == drawn_training().files[ENSEMBLE_FILE]
