"""What a model must not use, which way it may go, and on which decisions it is calibrated."""

import msgspec
import numpy as np
import pytest

from engine.records import DecisionRecord
from engine.signals import DAY
from features.protection import Protection
from features.spec import INDEX
from models.action import ALL, EXPLORATION, Options, as_model, calibration_weights, fit, parts_of
from models.dataset import Examples, Scope, examples_of, logged_vectors
from models.policy import explored_share
from models.registry import Gate, judge_promotion
from models.scorer import SPEC_OF, PriorModel, Rows
from models.train import Plan, Question, evaluate, train
from tests.models.learnt import QUICK, logged, offers, small_model, small_table, small_training, table_of
from tests.models.world import NOW

FAIR = Gate(protection=Protection(protected=("plan",)))


def test_a_protected_attribute_is_refused_by_name_unless_it_is_allowed() -> None:
    card = small_training().card
    found = evaluate(small_table(), Question(now=NOW, window=DAY), small_model(), PriorModel())
    assert "trait_plan" in card.columns
    said = judge_promotion(card, found, FAIR)
    assert (said.promote, said.code) == (False, "protected_attribute")
    assert "plan (column trait_plan)" in said.text
    allowed = Gate(protection=Protection(protected=("plan",), allowed={"plan": "it is the contract itself"}))
    assert judge_promotion(card, found, allowed).code == "better"


def test_age_is_refused_without_being_declared() -> None:
    card = msgspec.structs.replace(small_training().card, columns={"trait_age": SPEC_OF["trait_age"]})
    found = evaluate(small_table(), Question(now=NOW, window=DAY), small_model(), PriorModel())
    assert judge_promotion(card, found).code == "protected_attribute"


def test_training_leaves_out_what_no_model_may_use() -> None:
    learning = msgspec.structs.replace(QUICK.learning, without=("trait_plan",), members=1)
    trained = train(small_table(), NOW, DAY, Plan(learning))
    assert "trait_plan" not in trained.card.columns
    found = evaluate(small_table(), Question(now=NOW, window=DAY), small_model(), PriorModel())
    assert judge_promotion(trained.card, found, FAIR).code == "better"


def misled(column: str) -> Examples:
    """Decisions in which a high value of the column goes with a no."""
    rewards = {one.record.decision_id: one.reward for one in examples_of(small_table(), Scope(NOW, DAY)).logged}
    noise = np.random.default_rng(5)

    def rows(record: DecisionRecord) -> Rows:
        values = np.array(logged_vectors(record))
        values[:, INDEX[column]] = 0.5 + noise.normal() - rewards[record.decision_id]
        return values

    return examples_of(small_table(), Scope(NOW, DAY), rows)


@pytest.mark.parametrize(("column", "falls"), [("cross_acceptance", False), ("cross_impressions", True)])
def test_a_declared_direction_holds_whatever_the_log_says(column: str, falls: bool) -> None:
    made = misled(column)
    model = as_model("m", fit(parts_of(made), Options(rounds=60, patience=60, threads=1)))
    rows = np.repeat(made.matrix[:1], 41, axis=0)
    rows[:, INDEX[column]] = np.linspace(-2.0, 3.0, 41)
    steps = np.diff(model.probabilities(rows))
    assert bool((steps < 0.0).any()) is falls


def test_calibration_counts_a_decision_as_often_as_exploration_drew_it() -> None:
    made = examples_of(table_of(logged(600, own=offers("epsilon", 0.4))), Scope(NOW, DAY)).logged
    for one in made:
        greedy = one.propensity > 0.5
        assert explored_share(one) == pytest.approx(0.08 / 0.68 if greedy else 1.0)
    # on average as many as were drawn by exploration
    assert sum(map(explored_share, made)) == pytest.approx(0.4 * 600, rel=0.15)


def test_calibration_rests_on_explored_decisions_where_there_are_enough() -> None:
    for count, kind, rows in ((600, "epsilon", EXPLORATION), (300, "uniform", EXPLORATION), (300, "none", ALL)):
        made = examples_of(table_of(logged(count, own=offers(kind, 0.4))), Scope(NOW, DAY))
        assert calibration_weights(made)[1] == rows
    few = examples_of(table_of(logged(100, own=offers("epsilon", 0.1))), Scope(NOW, DAY))
    weights, rows = calibration_weights(few)
    assert (rows, set(weights.tolist())) == (ALL, {1.0})
    assert small_training().card.calibrated_on == EXPLORATION
