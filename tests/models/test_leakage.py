"""A feature that knows the answer is named, whether it says so or gives itself away; an honest one is not."""

import msgspec
import numpy as np
import pytest

from engine.signals import DAY
from features.spec import CATEGORICAL, COLUMNS, INDEX, Feature
from models.dataset import Scope, Vectors, examples_of, logged_vectors
from models.leakage import AFTER, leaking
from models.registry import judge_promotion
from models.scorer import PriorModel, Rows
from models.train import Plan, Question, evaluate, train
from tests.models.learnt import QUICK, small_model, small_table, small_training
from tests.models.world import NOW

NUMBER = Feature("n", "profile", "total", "x", "service", "a number")
CATEGORY = Feature("c", "profile", "trait", "x", "service", "a category", CATEGORICAL)


def sample(count: int = 600) -> tuple[np.random.Generator, np.ndarray]:
    draw = np.random.default_rng(4)
    return draw, (draw.random(count) < 0.3).astype(float)


@pytest.mark.parametrize("feature", [NUMBER, CATEGORY], ids=["number", "category"])
def test_a_column_that_is_the_answer_is_found(feature: Feature) -> None:
    draw, rewards = sample()
    rows = np.stack([rewards * 3, draw.integers(0, 5, 600)], axis=1).astype(np.float32)
    assert set(leaking(rows, rewards, (feature, msgspec.structs.replace(feature, name="honest")))) == {feature.name}


def test_an_answer_hidden_in_what_is_missing_is_found() -> None:
    _, rewards = sample()
    rows = np.where(rewards > 0, np.nan, 1.0).astype(np.float32)[:, None]
    assert set(leaking(rows, rewards, (NUMBER,))) == {"n"}


def test_a_marked_column_is_refused_however_little_it_tells() -> None:
    draw, rewards = sample(30)
    marked = msgspec.structs.replace(NUMBER, after=True)
    assert leaking(draw.random((30, 1)).astype(np.float32), rewards, (marked,)) == {"n": AFTER}


def test_what_helps_honestly_leaks_nothing() -> None:
    made = examples_of(small_table(), Scope(NOW, DAY))
    assert leaking(made.matrix, made.rewards) == {}
    assert small_training().card.leaks == {}


def leaky() -> Vectors:
    """Rows in which a counter has already seen the answer."""
    made = examples_of(small_table(), Scope(NOW, DAY))
    reward = {one.record.decision_id: one.reward for one in made.logged}

    def rows(record: object) -> Rows:
        values = np.array(logged_vectors(record))  # type: ignore[arg-type]  # reason: called with records only
        values[:, INDEX["responses_accepted_total" if "responses_accepted_total" in INDEX else "events_total"]] = (
            reward[
                record.decision_id  # type: ignore[attr-defined]  # reason: as above
            ]
        )
        return values

    return rows


def test_a_model_that_learned_from_a_leak_is_refused_by_name() -> None:
    trained = train(small_table(), NOW, DAY, Plan(QUICK.learning, vectors=leaky()))
    [name] = trained.card.leaks
    assert name in COLUMNS
    found = evaluate(small_table(), Question(now=NOW, window=DAY), small_model(), PriorModel())
    said = judge_promotion(trained.card, found)
    assert (said.promote, said.code) == (False, "leaking_feature")
    assert name in said.text
