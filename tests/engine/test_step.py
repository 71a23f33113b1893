"""What a step gives besides the fragment: link claims and cross-profile counts; and how outcomes are judged."""

import hashlib
from typing import Any

import msgspec
import pytest

from engine.events import Event
from engine.identifiers import Identifier
from engine.identity import NEGATIVE, OBSERVED, POSITIVE
from engine.outcome import Outcome, Verdict, judge, window_closed
from engine.profile import Fragment
from engine.replay import replay
from engine.step import FOLD, Rules, Step, advance
from tests.strategies import ANN, EMAIL, OTHERS, START, identifier

RULES = Rules()


def event(number: int, kind: str, *identifiers: Identifier, at: int = START, **properties: Any) -> Event:
    name = str(properties.pop("name", ""))
    home = (identifiers or (ANN,))[0].id
    return Event(f"m{number}", "crm", kind, name, at, at, home, identifiers, {}, properties)


def step(happened: Event, fragment: Fragment | None = None) -> Step:
    return advance(fragment or Fragment(happened.home), happened, RULES)


def test_meeting_an_identifier_claims_a_link_once() -> None:
    first = step(event(1, "identify", ANN, EMAIL))
    assert [(c.left, c.right, c.verdict, c.at, c.reason) for c in first.claims] == [
        (ANN.id, EMAIL.id, POSITIVE, START, OBSERVED)
    ]
    assert step(event(2, "identify", ANN, EMAIL, at=START + 9), first.fragment).claims == ()


def test_an_earlier_meeting_is_claimed_again() -> None:
    first = step(event(1, "identify", ANN, EMAIL))
    assert [c.at for c in step(event(2, "identify", ANN, EMAIL, at=START - 9), first.fragment).claims] == [START - 9]


def test_a_claim_carries_no_value_of_an_identifier() -> None:
    [claim] = step(event(1, "identify", ANN, EMAIL)).claims
    assert EMAIL.value not in repr(claim)


def test_a_shared_device_links_nobody() -> None:
    assert step(event(1, "page", ANN, identifier("device_id", "tablet"))).claims == ()


@pytest.mark.parametrize(("kind", "verdict"), [("link", POSITIVE), ("unlink", NEGATIVE)])
@pytest.mark.parametrize(("said", "reason"), [("same address", "same address"), ("", None), (OBSERVED, None)])
def test_an_explicit_verdict_is_never_taken_for_an_observation(
    kind: str, verdict: str, said: str, reason: str | None
) -> None:
    [claim] = step(event(1, kind, ANN, EMAIL, reason=said)).claims
    assert (claim.verdict, claim.reason) == (verdict, reason or kind)


def test_outcomes_are_counted_across_profiles() -> None:
    def counted(name: str) -> tuple[tuple[str, int], ...]:
        return step(event(1, "outcome", name=name, action_id="a", segment="gold")).counts

    assert counted("presented") == counted("offered") == (("a|gold|presented", 1),)
    assert counted("accepted") == (("a|gold|accepted", 1),)
    assert counted("skipped") == ()


def test_a_duplicate_has_no_effects() -> None:
    happened = event(1, "identify", ANN, EMAIL)
    assert step(happened, step(happened).fragment) == Step(step(happened).fragment, False)


def test_replay_folds_by_home_and_tells_every_step() -> None:
    told: list[bool] = []
    happened = [event(1, "page", ANN), event(1, "page", ANN), event(2, "page", OTHERS[0])]
    fragments = replay(happened, RULES, lambda _event, made: told.append(made.changed))
    assert set(fragments) == {ANN.id, OTHERS[0].id}
    assert told == [True, False, True]


def outcome(kind: str, at: int = 1, action: str = "a") -> Outcome:
    return Outcome("p.1", action, kind, at)


JUDGED: dict[str, tuple[list[Outcome], Verdict]] = {
    "nothing": ([], Verdict(None, 0.0, False)),
    "only shown": ([outcome("presented")], Verdict("a", 0.0, False)),
    "shown and accepted": ([outcome("accepted", 2), outcome("presented")], Verdict("a", 1.0, False)),
    "an answer implies showing": ([outcome("clicked")], Verdict("a", 1.0, False)),
    "declined": ([outcome("presented"), outcome("declined", 2)], Verdict("a", 0.0, False)),
    "another action accepted": ([outcome("presented"), outcome("accepted", 2, "b")], Verdict("a", 0.0, False)),
    "skipped is no refusal": ([outcome("skipped")], Verdict(None, 0.0, True)),
    "a complaint takes away what was gained": (
        [outcome("accepted", 2), outcome("complaint", 3)],
        Verdict("a", 0.0, False),
    ),
    "there is nothing below nothing": ([outcome("presented"), outcome("churned", 4)], Verdict("a", 0.0, False)),
    "another action's complaint": ([outcome("accepted", 2), outcome("complaint", 3, "b")], Verdict("a", 1.0, False)),
    "the best answer counts": ([outcome("declined", 2), outcome("accepted", 3)], Verdict("a", 1.0, False)),
}


@pytest.mark.parametrize(("outcomes", "verdict"), JUDGED.values(), ids=JUDGED)
def test_the_reward_is_the_customers_answer_to_what_was_shown(outcomes: list[Outcome], verdict: Verdict) -> None:
    assert judge(outcomes) == judge(outcomes[::-1]) == verdict


@pytest.mark.parametrize(
    ("names", "reward"),
    [
        (("presented",), 0.0),
        (("clicked",), 0.2),
        (("clicked", "accepted"), 1.0),
        (("accepted", "declined"), 0.7),
        (("clicked", "complaint"), 0.0),
        (("complaint", "accepted"), 0.5),
    ],
)
def test_what_an_outcome_is_worth_may_be_said(names: tuple[str, ...], reward: float) -> None:
    worth = {"accepted": 1.0, "clicked": 0.2, "declined": -0.3, "complaint": -0.5}
    made = judge([outcome(name, number) for number, name in enumerate(names, 1)], worth)
    assert made.reward == pytest.approx(reward)


def test_a_window_closes_after_its_length() -> None:
    assert not window_closed(START, START + 9, window=10)
    assert window_closed(START, START + 10, window=10)


# Another digest means that what is stored is not what would be folded now: give the fold its next number, add a line.
FOLDED = {"1": "b84251fd1586079a", "2": "da765cfa48d6d303"}


def test_another_fold_has_another_number() -> None:
    """Events of every kind; installations are told to rebuild where the number is another than their state's."""
    told = [
        event(1, "identify", ANN, EMAIL),
        event(2, "track", ANN, name="Order Completed", revenue="29.73", currency="EUR", category="tv", at=START + 10),
        event(3, "track", ANN, name="Issue Opened", issueId="i-1", topic="invoice", at=START + 20),
        event(4, "track", ANN, name="Call Started", at=START - 86_400_000),
        event(5, "page", ANN, name="Prices", title="Prices", at=START + 40_000_000),
        event(6, "outcome", ANN, name="declined", action_id="a", category="tv", at=START + 50),
        event(7, "outcome", ANN, name="presented", action_id="a", channel="voice", at=START + 60),
        event(8, "link", ANN, EMAIL, reason="asked", at=START + 70),
        *(event(number, "decision", name="agent_desktop", at=START + number) for number in range(80, 95)),
    ]
    folded = replay(told, RULES)[ANN.id]
    # the last bit of a power is the machine's, not the fold's
    near = {name: (s.last, s.total, [round(x, 6) for x in s.sums]) for name, s in folded.state.signals.items()}
    said = (msgspec.structs.replace(folded.state, signals={}), sorted(near.items()), folded.seen)
    assert hashlib.sha256(msgspec.msgpack.encode(said)).hexdigest()[:16] == FOLDED[FOLD]


def test_rules_have_one_version_in_whatever_order_types_are_written() -> None:
    types = RULES.identity.types
    turned = msgspec.structs.replace(RULES.identity, types=dict(reversed(types.items())))
    stricter = msgspec.structs.replace(RULES.identity, max_component=10)
    assert Rules(turned).version == RULES.version != Rules(stricter).version
