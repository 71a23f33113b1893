"""Any past decision comes out again byte for byte, whatever was promoted, edited, linked or withdrawn since; what is
altered in its record is named; and what-if changes one thing only."""

import os
import random
from typing import Any
from zlib import crc32

import msgspec
import pytest

from engine.catalog import Catalogue
from engine.consent import Purposes
from engine.events import Event
from engine.ports import PersonView, Stored
from engine.profile import Contact, Fragment, fold
from engine.records import DecisionRecord, Position, decode_decision, encode, pack_decision
from engine.signals import DAY
from features.compute import CrossCounts
from infra.memory_past import MemoryPast
from models.replay import NotReplayable, replay
from models.scorer import PriorModel
from models.seal import INPUTS
from models.serving import Ask, Setting, decide
from models.what_if import CONSENT, CONTEXT, SIGNAL, TRAIT, Change, Unsupposable, what_if
from tests.models.learnt import small_model
from tests.models.sealing import resealed
from tests.models.world import ACTIONS, GRANTS, ID, NOW, PURPOSES, ask, catalogue, event, held, history, setting, view

COUNT = 10_000 if os.environ.get("RAPPORT_HYPOTHESIS") == "thorough" else 300
DESK = {"id": "agent_desktop", "channel": "voice", "limit": 3, "exploration": {"kind": "epsilon", "share": 0.1}}
PLACEMENTS = ({**DESK, "human": True}, {"id": "email", "channel": "email", "limit": 1, "contact": True})
OTHER = "person000000000b"
KINDS = ("Order Completed", "Product Viewed", "Support Contact", "Complaint Filed", "Session Started")


def edited(draw: random.Random) -> Catalogue:
    """Somebody's edit: other values and rules under the same version, as it happens."""
    actions = [{**a, "value": a["value"] * draw.choice((1.0, 1.5)), "lever": draw.choice((1.0, 0.3))} for a in ACTIONS]
    for one in actions:
        one["applicability"] = draw.choice(("true", "context.reason == 'billing'"))
        one["suitability"] = draw.choice(("true", "has(traits.plan)", "signals.unresolved_issues < 1.0"))
        one["needs_human"] = draw.random() < 0.1 and "agent_desktop" in one["placements"]
    draw.shuffle(actions)
    return catalogue(actions, PLACEMENTS)


def purposes(draw: random.Random) -> Purposes:
    return msgspec.structs.replace(PURPOSES, other_traits=draw.choice(("personalization", "analytics", "service")))


def person(draw: random.Random) -> PersonView:
    """Up to two homes with what happened to each, linked or not, and consent of any kind."""
    stored: list[Stored] = []
    for number, home in enumerate((ID, OTHER)[: draw.randint(0, 2)]):
        fragment = Fragment(home)
        for one in [*history(), *(_event(draw, n) for n in range(draw.randint(0, 12)))]:
            fragment = fold(fragment, msgspec.structs.replace(one, home=home, source=home))
        stored.append(Stored(Position(1, number, draw.randint(0, 99)), NOW, fragment))
    said = held(
        draw.sample(GRANTS, draw.randint(0, 3)), draw.sample(GRANTS, draw.randint(0, 1)), time_zone="Asia/Tokyo"
    )
    return PersonView(ID, (ID, OTHER), draw.randint(0, 9), tuple(stored), said if draw.random() < 0.8 else {})


def _event(draw: random.Random, number: int) -> Event:
    name = draw.choice(KINDS)
    at = NOW - draw.randint(0, 90 * DAY)
    details = {"category": draw.choice(("devices", "plans", "billing")), "revenue": draw.random() * 100}
    return event(100 + number, "track", name, properties=details, at=at)


def decided(draw: random.Random, number: int, past: MemoryPast) -> DecisionRecord:
    where = Setting(edited(draw), purposes(draw), draw.choice((PriorModel(), small_model())), cross(draw))
    past.keep(where.catalogue, where.purposes)
    context: dict[str, Any] = {"reason": draw.choice(("billing", "moving")), "sentiment": draw.random()}
    one = ask(
        person(draw), number, draw.choice(("agent_desktop", "email")), context=context, limit=draw.choice((None, 2))
    )
    return decode_decision(pack_decision(decide(one, where)))


def cross(draw: random.Random) -> dict[tuple[str, str], CrossCounts]:
    return {(a["id"], s): CrossCounts(draw.randint(0, 50), draw.random()) for a in ACTIONS for s in ("gold", "none")}


def test_decisions_of_any_past_replay_to_the_same_bytes() -> None:
    past = MemoryPast(catalogue(), PURPOSES, small_model())
    draw = random.Random(7)
    records = [decided(draw, number, past) for number in range(COUNT)]
    for record in records:
        replayed = replay(record, past)
        assert replayed.identical, replayed.difference
        assert replayed.again is not None
        # what each purpose could see is an input; of what was held back only the names differ, and the sums with them
        again = msgspec.structs.replace(replayed.again, visible=record.visible, sums=record.sums)
        assert encode(again) == encode(record)
    assert sum(record.answer["explored"] for record in records) > 5
    held_back = {rule for record in records for _, rule, _ in record.blocked}
    assert {"eligibility", "applicability", "suitability", "needs_human"} <= held_back
    assert len({record.versions["catalogue_digest"] for record in records}) > 100


def one_record() -> tuple[DecisionRecord, MemoryPast]:
    past = MemoryPast(catalogue(), PURPOSES, small_model())
    where = setting(small_model())
    past.keep(where.catalogue, where.purposes)
    rests = held(denied=("marketing",), language="de")
    promised = (Contact(NOW - DAY, "promised", "email", "survey", ""),)
    record = decide(ask(view(history(), rests), arms={"trial": "new"}, reserved=promised), where)
    return decode_decision(pack_decision(record)), past


def other(value: Any) -> Any:
    """The smallest change of a value."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    if isinstance(value, tuple):
        return value[:-1]
    name = next(iter(value))
    return {**value, name: other(value[name])}


@pytest.mark.parametrize("field", [f.name for f in msgspec.structs.fields(DecisionRecord) if f.name != "sums"])
def test_an_altered_field_is_named(field: str) -> None:
    record, past = one_record()
    replayed = replay(msgspec.structs.replace(record, **{field: other(getattr(record, field))}), past)
    assert not replayed.identical
    assert replayed.difference is not None
    assert field in {*replayed.difference.inputs, *replayed.difference.results}


def test_a_column_that_comes_out_different_is_named() -> None:
    record, past = one_record()
    replayed = replay(msgspec.structs.replace(record, vectors=b"\x01" + record.vectors[1:]), past)
    assert replayed.difference is not None
    assert replayed.difference.details == (
        f"Column events_1d of {record.candidates[0].action_id} comes out different.",
    )


def test_other_libraries_prove_nothing_where_the_outcome_differs() -> None:
    record, past = one_record()
    older = resealed(record, versions={**record.versions, "lightgbm": "0.1"})
    assert replay(older, past).identical
    with pytest.raises(NotReplayable, match=r"lightgbm 0\.1") as caught:
        replay(resealed(older, vectors=b"\x01" + record.vectors[1:]), past)
    assert caught.value.code == "other_version"


@pytest.mark.parametrize(("field", "code"), [("catalogue_digest", "rules_gone"), ("purposes_digest", "rules_gone")])
def test_rules_that_are_gone_are_said_to_be(field: str, code: str) -> None:
    record, past = one_record()
    with pytest.raises(NotReplayable) as caught:
        replay(resealed(record, versions={**record.versions, field: "0" * 32}), past)
    assert caught.value.code == code
    with pytest.raises(NotReplayable) as caught:
        replay(resealed(record, model="m-gone"), past)
    assert caught.value.code == "model_gone"


def test_sums_of_before_promises_could_be_no_approach_still_fit() -> None:
    record, past = one_record()
    [promised] = record.reserved
    place = 4 * INPUTS.index("reserved")
    assert record.sums[place : place + 4] == crc32(encode([msgspec.structs.astuple(promised)[:5]])).to_bytes(4, "big")
    other_kind = msgspec.structs.replace(record, reserved=(msgspec.structs.replace(promised, approach=False),))
    difference = replay(other_kind, past).difference
    assert difference is not None
    assert difference.inputs == ("reserved",)


def test_the_same_input_supposed_changes_nothing() -> None:
    record, past = one_record()
    supposed = what_if(record, Change(CONTEXT, "reason", record.context["reason"]), past)
    assert supposed.answer == record.answer
    assert supposed.winner == supposed.before
    assert "all the same" in supposed.because[0]


def asked_with(record: DecisionRecord, person: PersonView, **more: Any) -> DecisionRecord:
    context = {"reason": "billing", **more}
    one = Ask(person, record.placement, context, record.decision_id, record.at)
    one = msgspec.structs.replace(one, arms=record.arms, reserved=record.reserved)
    return decide(one, setting(small_model()))


def test_a_supposed_value_decides_as_the_real_one_would_have() -> None:
    record, past = one_record()
    consent = held(denied=("marketing",), language="de")
    supposed = what_if(record, Change(CONTEXT, "reason", "cancel"), past)
    assert supposed.answer == asked_with(record, view(history(), consent), reason="cancel").answer
    changed = [*history(), event(9, "identify", traits={"plan": "basic"}, at=NOW - 1)]
    real = asked_with(record, view(changed, consent)).answer["actions"]
    supposed = what_if(record, Change(TRAIT, "plan", "basic"), past)
    assert [a["action_id"] for a in supposed.answer["actions"]] == [a["action_id"] for a in real]


def test_a_closed_purpose_takes_its_actions_and_its_data_with_it() -> None:
    past, where = MemoryPast(catalogue(), PURPOSES, small_model()), setting(small_model())
    past.keep(where.catalogue, where.purposes)
    record = decide(ask(view(history())), where)
    supposed = what_if(record, Change(CONSENT, "marketing", value=False), past)
    assert {b["action_id"] for b in supposed.answer["blocked"] if b["rule"] == "consent"} == {"plan_upgrade", "handset"}
    supposed = what_if(record, Change(CONSENT, "personalization", value=False), past)
    assert "pair_views_30d" in supposed.answer["consent"]["features_masked"]


def test_a_purpose_that_opens_frees_its_actions() -> None:
    record, past = one_record()
    supposed = what_if(record, Change(CONSENT, "marketing", value=True), past)
    assert not {"plan_upgrade", "handset"} & {b["action_id"] for b in supposed.answer["blocked"]}


def test_a_signal_is_what_rules_and_rows_see() -> None:
    record, past = one_record()
    supposed = what_if(record, Change(SIGNAL, "unresolved_issues", 0), past)
    assert {"action_id": "apology_credit", "rule": "eligibility"}.items() <= next(
        b.items() for b in supposed.answer["blocked"] if b["action_id"] == "apology_credit"
    )


@pytest.mark.parametrize(
    "change",
    [Change(CONSENT, "service", value=False), Change(SIGNAL, "nothing", 1), Change(CONSENT, "marketing", "yes")],
)
def test_what_cannot_be_supposed_is_refused(change: Change) -> None:
    record, past = one_record()
    with pytest.raises(Unsupposable):
        what_if(record, change, past)
