"""From archived rows to a model that found what there is to find, and a gate that tells better from worse."""

import json

import msgspec
import numpy as np
import pytest

from engine.signals import DAY
from features.spec import COLUMNS, SPEC_HASH
from models.action import FEWEST, calibrate
from models.dataset import NothingToLearn, Scope, examples_of
from models.explain import Unexplainable, explain
from models.registry import Gate, judge_promotion
from models.scorer import CARD_FILE, SPEC_OF, Model, PriorModel, Unfit, load_model
from models.serving import decide
from models.train import Question, card_of, evaluate, train
from tests.models.learnt import (
    BEST,
    QUICK,
    REASONS,
    logged,
    offers,
    small_model,
    small_table,
    small_training,
    table_of,
)
from tests.models.world import NOW, ask, event, setting, view

QUESTION = Question(now=NOW, window=DAY)


def test_the_model_finds_which_action_answers_which_reason() -> None:
    person = view([event(1, "identify", traits={"plan": "gold", "country": "US"})])
    where = setting(small_model(), offers("none"))
    asked = {reason: ask(person, context={"reason": reason}) for reason in REASONS}
    chosen = {reason: decide(one, where).answer["actions"][0]["action_id"] for reason, one in asked.items()}
    assert chosen == BEST


def test_training_twice_gives_the_same_files() -> None:
    again = train(small_table(), NOW, DAY, QUICK)
    assert again.version == small_training().version
    assert again.files == small_training().files


def test_the_card_says_what_it_was_made_of() -> None:
    card = card_of(small_training().files)
    assert sum(card.counts.values()) == 1200
    assert card.data.first < card.judged_from < card.data.last
    assert {name: SPEC_OF[name] for name in card.columns} == card.columns
    assert {"context_reason", "action_action"} <= set(card.columns) < set(COLUMNS)
    assert card.spec_hash == SPEC_HASH
    assert {"auc", "log_loss", "brier", "ece"} <= set(card.metrics)
    assert card.metrics["auc"] > 0.7
    assert card.policy["interval"]["low"] <= card.policy["snips"] <= card.policy["interval"]["high"]
    assert "does not prove" in card.not_proven
    assert {"lightgbm", "python", "rapport"} <= set(card.libraries)
    assert list(small_model().columns) == [name for name in COLUMNS if name in card.columns]


def test_pictures_are_pictures() -> None:
    pictures = {name: data for name, data in small_training().files.items() if name.endswith(".png")}
    assert set(pictures) == {"reliability.png", "lift.png", "importance.png"}
    assert all(data.startswith(b"\x89PNG") for data in pictures.values())


def test_too_few_decisions_are_said_to_be_too_few() -> None:
    with pytest.raises(NothingToLearn, match=f"at least {FEWEST}"):
        train(table_of(logged(FEWEST - 1)), NOW, DAY, QUICK)


def test_an_empty_archive_is_said_to_be_empty() -> None:
    with pytest.raises(NothingToLearn, match="no decisions"):
        train(table_of([]), NOW, DAY)


def test_a_better_model_is_promoted_and_a_worse_one_is_not() -> None:
    model, prior = small_model(), PriorModel()
    question = msgspec.structs.replace(QUESTION, since=small_training().card.judged_from)
    forward = evaluate(small_table(), question, model, prior)
    back = evaluate(small_table(), question, prior, model)
    verdict = judge_promotion(small_training().card, forward)
    assert verdict.promote
    assert verdict.code == "better"
    assert verdict.numbers["low"] > 0.0
    assert judge_promotion(small_training().card, back).code == "not_better"
    assert back.difference.value == pytest.approx(-forward.difference.value)


def test_a_margin_can_be_asked_for() -> None:
    found = evaluate(small_table(), QUESTION, small_model(), PriorModel())
    assert judge_promotion(small_training().card, found, Gate(margin=1000.0)).code == "not_better"


def test_few_people_cannot_carry_a_promotion() -> None:
    found = msgspec.structs.replace(evaluate(small_table(), QUESTION, small_model(), PriorModel()), people=29)
    verdict = judge_promotion(small_training().card, found)
    assert (verdict.promote, verdict.code) == (False, "too_little_evidence")
    assert "29 people" in verdict.text


def test_a_model_is_no_better_than_itself() -> None:
    found = evaluate(small_table(), QUESTION, small_model(), small_model())
    assert found.difference.value == found.difference.low == found.difference.high == 0.0
    assert judge_promotion(small_training().card, found).code == "too_little_evidence"


def test_a_changed_column_refuses_only_who_uses_it() -> None:
    files = dict(small_training().files)
    card = json.loads(files[CARD_FILE])
    card["columns"]["context_reason"] = "another"
    changed = {**files, CARD_FILE: json.dumps(card).encode()}
    with pytest.raises(Unfit, match="context_reason"):
        load_model(changed)
    verdict = judge_promotion(card_of(changed), evaluate(small_table(), QUESTION, small_model(), PriorModel()))
    assert (verdict.promote, verdict.code) == (False, "columns_changed")
    del card["columns"]["context_reason"]
    assert load_model({**files, CARD_FILE: json.dumps(card).encode()}).version == small_training().version


@pytest.mark.parametrize("missing", ["model.txt", "calibration.json", "encoding.json", "card.json"])
def test_a_torn_bundle_is_no_model(missing: str) -> None:
    files = {name: data for name, data in small_training().files.items() if name != missing}
    with pytest.raises(Unfit, match="cannot be read"):
        load_model(files)


def test_probabilities_are_calibrated_on_decisions_it_did_not_fit() -> None:
    made = examples_of(small_table(), Scope(NOW, DAY))
    chances = small_model().probabilities(made.matrix)
    assert abs(chances.mean() - made.rewards.mean()) < 0.05
    assert chances.min() >= 0.0
    assert chances.max() <= 1.0


def test_calibration_keeps_the_order() -> None:
    draw = np.random.default_rng(3)
    raw = draw.random(6000)
    rewards = (draw.random(6000) < raw**2).astype(float)
    for part in (slice(0, 300), slice(None)):
        curve = calibrate(raw[part], rewards[part])
        assert np.all(np.diff(curve.apply(np.linspace(0.0, 1.0, 50))) >= 0.0)
        assert abs(curve.apply(raw).mean() - rewards.mean()) < 0.06
    assert calibrate(raw[:50], np.zeros(50)).kind == "none"


def test_the_winner_can_be_explained() -> None:
    record = decide(ask(view(), context={"reason": "billing"}), setting(small_model(), offers("none")))
    reasons = explain(record, small_model())
    assert {"context_reason", "action_action"} & {reason["feature"] for reason in reasons}
    assert all(reason["contribution"] and reason["text"] for reason in reasons)
    with pytest.raises(Unexplainable, match="explain it with that one"):
        explain(record, PriorModel())
    assert explain(decide(ask(view()), setting()), PriorModel()) == []


def test_a_model_is_a_scorer_of_its_file() -> None:
    model = small_model()
    assert isinstance(model, Model)
    assert model.version == small_training().version
