"""Records as earlier versions wrote them come out again as they were, whatever is looked at since."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from engine.consent import IS_RESTRICTED, Purpose
from engine.records import DecisionRecord, encode
from features.spec import COLUMNS, INDEX
from infra.memory_past import MemoryPast
from models.gate import Person, Sights, bearing
from models.parity import refolded_rows
from models.record import visible_by_purpose
from models.replay import replay
from models.scorer import PriorModel
from models.serving import Question, Setting, decide, known_of, redecide
from tests.models.learnt import small_model
from tests.models.sealing import resealed
from tests.models.world import ACTIONS, GRANTS, NOW, PURPOSES, ask, catalogue, held, history, setting, view

DESK = {"id": "agent_desktop", "channel": "voice", "limit": 3, "exploration": {"kind": "epsilon", "share": 0.1}}


def test_a_slate_is_no_longer_than_wished_for_and_longer_ones_of_before_replay() -> None:
    three = {"id": "email", "channel": "email", "limit": 3, "contact": True}
    where = setting(small_model(), catalogue(placements=[DESK, three]))
    past = MemoryPast(where.catalogue, where.purposes, small_model())
    past.keep(where.catalogue, where.purposes)
    asked = ask(view(history(), held(frequency="1/7d")), 1, "email")
    now = decide(asked, where)
    known = known_of(asked.view, PURPOSES, NOW)
    sights = Sights(Person(known.profile, known.consent, PURPOSES, asked.context, NOW), bearing(PURPOSES))
    before = redecide(Question(asked.decision_id, "email", None, now.positions), sights, where)
    assert (len(now.slate), len(before.slate)) == (1, 3)
    assert replay(now, past).identical
    assert replay(before, past).identical


MOVED = msgspec.structs.replace(PURPOSES, traits={"country": "service", "plan": "personalization"})


def moved_record() -> tuple[DecisionRecord, MemoryPast]:
    """The plan is not for service here, as its column is, and what it is for was refused."""
    where = Setting(catalogue(), MOVED, PriorModel(), {})
    rests = held(denied=("personalization",))
    return decide(ask(view(history(), rests)), where), MemoryPast(where.catalogue, where.purposes)


def as_earlier(record: DecisionRecord) -> DecisionRecord:
    """The record as versions wrote it that took a hidden trait for an absent one."""
    rows = np.frombuffer(record.vectors, dtype="<f4").reshape(-1, len(COLUMNS)).copy()
    plans = rows[:, INDEX["trait_plan"]]
    plans[np.isnan(plans)] = -1
    told = record.answer["consent"]
    consent = {**told, "features_masked": [name for name in told["features_masked"] if name != "trait_plan"]}
    seen = visible_by_purpose(record).items()
    return resealed(
        record,
        vectors=rows.tobytes(),
        answer={**record.answer, "consent": consent},
        visible={name: encode(msgspec.structs.replace(visible, hidden=())) for name, visible in seen},
    )


def hidden_from_some() -> tuple[DecisionRecord, MemoryPast]:
    """One action's purpose uses what is for service only, so it does not see the plan; the others do."""
    partners = {**ACTIONS[0], "purpose": "partners", "content": {"en": "Meet our partners."}, "when": "true"}
    uses = Purpose("partners", default={"US": True}, uses=("service",))
    rules = msgspec.structs.replace(MOVED, purposes={**MOVED.purposes, "partners": uses})
    where = Setting(catalogue([partners, *ACTIONS[1:]]), rules, PriorModel(), {})
    record = decide(ask(view(history(), held((*GRANTS, "partners")))), where)
    plans = np.frombuffer(record.vectors, dtype="<f4").reshape(-1, len(COLUMNS))[:, INDEX["trait_plan"]]
    assert 0 < np.isnan(plans).sum() < len(plans)
    return record, MemoryPast(where.catalogue, where.purposes)


@pytest.mark.parametrize("made", [moved_record, hidden_from_some])
def test_a_hidden_trait_is_masked_and_replays_as_it_was_taken(
    made: Callable[[], tuple[DecisionRecord, MemoryPast]],
) -> None:
    record, past = made()
    assert "trait_plan" in record.answer["consent"]["features_masked"]
    for one in (record, as_earlier(record)):
        assert replay(one, past).identical
        rows = refolded_rows(one, [stored.fragment for stored in view(history()).stored], past)
        assert rows.astype("<f4").tobytes() == one.vectors
    assert as_earlier(record).vectors != record.vectors


def test_a_decision_about_restricted_data_says_so_and_one_of_before_replays_with_what_it_said() -> None:
    bare = [{**one, "when": "true"} for one in ACTIONS]
    where = Setting(catalogue(bare), PURPOSES, PriorModel(), {})
    past = MemoryPast(where.catalogue, where.purposes)
    record = decide(ask(view(history(), held(restriction="1"))), where)
    assert {(rule, detail) for _, rule, detail in record.blocked} >= {("consent", IS_RESTRICTED)}
    assert replay(record, past).identical
    purpose = {one["id"]: one["purpose"] for one in bare}
    blocked = tuple(
        (name, rule, f"purpose {purpose[name]} is granted" if rule == "consent" else detail)
        for name, rule, detail in record.blocked
    )
    told = [{"action_id": name, "rule": rule, "detail": detail} for name, rule, detail in blocked]
    earlier = resealed(record, blocked=blocked, answer={**record.answer, "blocked": told})
    assert replay(earlier, past).identical
    assert not replay(resealed(record, blocked=blocked), past).identical


def served_beside() -> tuple[DecisionRecord, MemoryPast]:
    """A placement where no action may look at what is for service, from which the segment is told all the same."""
    partners = {**ACTIONS[0], "purpose": "partners", "placements": ["side"], "content": {"en": "Meet our partners."}}
    rules = msgspec.structs.replace(
        PURPOSES, purposes={**PURPOSES.purposes, "partners": Purpose("partners", default={"US": True}, uses=())}
    )
    where = Setting(catalogue([partners], [{**DESK, "id": "side"}]), rules, PriorModel(), {})
    somebody = view(history(), held((*GRANTS, "partners")))
    return decide(ask(somebody, placement="side"), where), MemoryPast(where.catalogue, where.purposes)


def test_what_the_segment_was_told_from_is_recorded_and_counts_as_used() -> None:
    record, past = served_beside()
    assert record.segment not in ("none", "unknown")
    assert record.answer["consent"]["purposes_used"] == ["partners", "service"]
    assert "trait_plan" in record.answer["consent"]["features_masked"]
    assert replay(record, past).identical


def test_a_decision_that_kept_nothing_of_its_segment_is_made_again_with_it() -> None:
    record, past = served_beside()
    consent = {**record.answer["consent"], "purposes_used": ["partners"]}
    earlier = resealed(
        record,
        visible={name: seen for name, seen in record.visible.items() if name != "service"},
        answer={**record.answer, "consent": consent},
    )
    assert replay(earlier, past).identical
