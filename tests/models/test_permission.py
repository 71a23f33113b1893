"""Whose decisions may be learnt from: not those of people who refuse training or a purpose that was used."""

import msgspec
import pytest

from engine.consent import DENIED, Held, Purpose, Purposes, Statement
from engine.ledger import refused_by
from engine.records import DecisionRecord
from models.permission import everyone, permit_of
from tests.contracts.people import made


def decided(allowed: tuple[str, ...] = ("service", "model_training", "personalization")) -> DecisionRecord:
    answer = {"consent": {"purposes_used": ["personalization", "service"]}}
    return msgspec.structs.replace(made(), profile_id="p", allowed=allowed, answer=answer)


@pytest.mark.parametrize(
    ("allowed", "refused", "why"),
    [
        (("service", "model_training", "personalization"), {}, ""),
        (("service", "personalization"), {}, "model training not allowed when it was made"),
        (("service", "model_training"), {"p": frozenset({"model_training"})}, "model training withdrawn since"),
        (("model_training",), {"p": frozenset({"personalization"})}, "a purpose it used was withdrawn since"),
        (("model_training",), {"p": frozenset({"restriction"})}, "the person's data is restricted"),
        (("model_training",), {"p": frozenset({"advertising"})}, ""),
        (("model_training",), {"q": frozenset({"model_training"})}, ""),
    ],
)
def test_a_decision_is_permitted_or_says_why_not(
    allowed: tuple[str, ...], refused: dict[str, frozenset[str]], why: str
) -> None:
    assert permit_of(refused)(decided(allowed)) == why
    assert everyone(decided(allowed)) == ""


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        ("service", ""),
        ("ours", "a purpose it used was withdrawn since"),
        ("theirs", "model training withdrawn since"),
    ],
)
def test_a_contract_is_not_refused_and_an_objection_reaches_what_it_includes(refused: str, why: str) -> None:
    policy = Purposes(
        {
            "service": Purpose("service", "contract"),
            "ours": Purpose("ours", "legitimate_interests", objection_includes=("personalization",)),
            "theirs": Purpose("theirs", "legitimate_interests", objection_includes=("model_training",)),
            **{name: Purpose(name) for name in ("personalization", "model_training")},
        }
    )
    held = {"p": Held({refused: (Statement(DENIED, 1, "banner"),)})}
    assert permit_of(refused_by(held, policy))(decided()) == why
