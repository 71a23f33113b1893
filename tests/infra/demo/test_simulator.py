"""The simulator: the same seed makes the same world, its truth is observable, and it is hard enough to be a test."""

import numpy as np
import pytest

from infra.config import Configuration, load
from infra.demo.simulator import Population, contact, context_of, history, populate, true_acceptance
from infra.demo.simulator_card import MOST_CONSTANT, MOST_LOGISTIC, PLACEMENT, card
from infra.demo.truth import BY_PLAN, BY_REASON, BY_SEGMENT, BY_TOPIC, INTERESTS, REASONS, SELLS
from infra.settings import DEMO_CONFIG

AT = 1_800_000_000_000


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return load(DEMO_CONFIG)


@pytest.fixture(scope="module")
def people() -> Population:
    return populate(5, 400)


def actions(configuration: Configuration) -> tuple[str, ...]:
    return tuple(action.id for action in configuration.catalogue.placed(PLACEMENT))


def test_one_seed_one_world(configuration: Configuration) -> None:
    first, again = (contact(populate(3, 200), 300) for _ in range(2))
    assert np.array_equal(first.luck, again.luck)
    assert [context_of(first, i) for i in range(300)] == [context_of(again, i) for i in range(300)]
    left, right = (true_acceptance(populate(3, 200), c, actions(configuration)) for c in (first, again))
    assert np.array_equal(left, right)
    assert history(populate(3, 200), 7, "u") == history(populate(3, 200), 7, "u")


def test_another_seed_another_world(configuration: Configuration) -> None:
    left, right = (
        true_acceptance(p, contact(p, 50), actions(configuration)) for p in (populate(1, 50), populate(2, 50))
    )
    assert not np.allclose(left, right)


def test_probabilities_are_probabilities(configuration: Configuration, people: Population) -> None:
    truth = true_acceptance(people, contact(people, 2000), actions(configuration))
    assert truth.shape == (2000, len(actions(configuration)))
    assert truth.min() > 0.0
    assert truth.max() < 1.0


def test_every_customer_calls_about_equally_often(people: Population) -> None:
    counts = np.bincount(contact(people, 1000).customer, minlength=people.size)
    assert set(counts.tolist()) <= {2, 3}


def test_the_truth_speaks_about_actions_of_the_catalogue(configuration: Configuration) -> None:
    named = set(BY_REASON) | set(BY_SEGMENT) | set(BY_TOPIC) | set(BY_PLAN)
    assert named == set(actions(configuration))
    for action, category in SELLS.items():
        assert configuration.catalogue.actions[action].category == category


def test_reward_is_what_arbitration_maximises(configuration: Configuration) -> None:
    for action in configuration.catalogue.placed(PLACEMENT):
        assert action.lever == 1.0, action.id
        assert action.weights == {}, action.id


def test_history_holds_what_the_truth_rests_on(people: Population) -> None:
    for index in range(100):
        events = [event for _, event in history(people, index, f"u-{index}")]
        viewed = [e["properties"]["category"] for e in events if e.get("event") == "Product Viewed"]
        bought = [e["properties"]["products"][0]["category"] for e in events if e.get("event") == "Order Completed"]
        for position, category in enumerate(INTERESTS):
            assert viewed.count(category) == people.views[index, position]
            assert bought.count(category) == people.purchases[index, position]
        assert any(e.get("event") == "Issue Opened" for e in events) == bool(people.open_issue[index])
        said = events[1]["context"]["consent"]["categoryPreferences"]
        assert said["marketing"] is not bool(people.no_marketing[index])


def test_message_ids_are_unique_and_repeat(people: Population) -> None:
    ids = [event["messageId"] for i in range(50) for _, event in history(people, i, f"u-{i}")]
    assert len(ids) == len(set(ids))
    assert ids == [event["messageId"] for i in range(50) for _, event in history(people, i, f"u-{i}")]


def test_every_reason_occurs(people: Population) -> None:
    made = contact(people, 1000)
    assert {context_of(made, i)["reason"] for i in range(1000)} == set(REASONS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1001, 1002, 1003])
def test_the_simulator_is_hard_enough(configuration: Configuration, seed: int) -> None:
    found = card(seed, configuration, AT, (5000, 1500))
    assert found.uniform < found.constant < found.oracle
    assert found.percent(found.constant) <= MOST_CONSTANT
    assert found.percent(found.logistic) <= MOST_LOGISTIC
    assert found.is_hard_enough
    text = "\n".join(found.lines())
    assert "simulator" in text
    for word in ("uniform draw", "best constant", "logistic", "oracle", "hard enough"):
        assert word in text
