"""Decisions as records: the same inputs give the same bytes, rows are the features' own, and every input is kept."""

import hashlib
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.catalog import instant
from engine.consent import Purpose, Purposes, as_dict, country_of, resolve
from engine.errors import InvalidRequest
from engine.identifiers import Identifier
from engine.records import DecisionRecord, decision_event, decode_decision, encode, pack_decision
from features.compute import Context, CrossCounts, vectors
from features.spec import COLUMNS, SPEC_HASH
from infra.memory_past import MemoryPast
from models.record import visible_by_purpose
from models.replay import replay
from models.scorer import PriorModel
from models.serving import Setting, decide, decide_many
from tests.models.learnt import small_model
from tests.models.world import ID, PURPOSES, action, ask, catalogue, event, held, history, setting, view


def rows_of(record: DecisionRecord) -> Any:
    return np.frombuffer(record.vectors, dtype="<f4").reshape(len(record.candidates), len(COLUMNS))


def test_the_same_inputs_give_the_same_bytes() -> None:
    question, where = ask(view(history())), setting(small_model())
    assert encode(decide(question, where)) == encode(decide(question, where))


def test_company_changes_no_answer() -> None:
    where = setting(small_model())
    asks = [ask(view(history()), n) for n in range(5)] + [ask(view(), 9)]
    together = decide_many(asks, where)
    assert [encode(record) for record in together] == [encode(decide(one, where)) for one in asks]


def test_nobody_asked_nothing_answered() -> None:
    assert decide_many([], setting()) == []


def test_a_record_survives_its_bytes() -> None:
    record = decide(ask(view(history())), setting())
    assert decode_decision(pack_decision(record)) == record
    assert decision_event(record).home == record.profile_id


def test_the_answer_has_every_field_a_caller_may_rely_on() -> None:
    answer = decide(ask(view(history())), setting()).answer
    assert set(answer) == {
        *("decision_id", "profile", "actions", "blocked", "consent", "model", "catalogue", "policy", "explored")
    }
    assert set(answer["actions"][0]) == {
        *(
            "action_id",
            "rank",
            "title",
            "content",
            "channel",
            "probability",
            "value",
            "weight",
            "lever",
            "score",
            "propensity",
            "reasons",
        )
    }
    assert set(answer["consent"]) == {"version", "hash", "purposes_used", "features_masked"}
    assert all(reason["code"] and reason["text"] for one in answer["actions"] for reason in one["reasons"])
    assert all(one["reasons"] for one in answer["actions"])


def test_rows_are_those_of_the_features() -> None:
    own = catalogue()
    cross = {("call_back", "gold"): CrossCounts(40.0, 10.0)}
    question = ask(view(history()))
    record = decide(question, Setting(own, PURPOSES, small_model(), cross))
    actions = [own.actions[c.action_id] for c in record.candidates]
    counts = [CrossCounts(*pair) for pair in record.cross]
    again = vectors(visible_by_purpose(record), actions, Context(record.placement, record.context), counts, record.at)
    assert np.array_equal(again, rows_of(record), equal_nan=True)
    assert record.segment == "gold"
    assert record.cross[[c.action_id for c in record.candidates].index("call_back")] == (40.0, 10.0)
    assert record.spec_hash == record.versions["spec"] == SPEC_HASH


def test_the_consent_hash_is_that_of_the_consent() -> None:
    person = view(history(), held(("analytics",), ("marketing",)))
    record = decide(ask(person), setting())
    consent = as_dict(resolve(person.held, PURPOSES, country_of(person.profile)))
    expected = hashlib.sha256(msgspec.msgpack.encode(consent, order="sorted")).hexdigest()
    assert record.consent == consent
    assert record.consent_hash == record.answer["consent"]["hash"] == expected


def test_masked_columns_are_nan_and_nothing_else_is() -> None:
    record = decide(ask(view(history(), held(("analytics",), ("personalization",)))), setting())
    masked = set(record.answer["consent"]["features_masked"])
    blank = {name for at, name in enumerate(COLUMNS) if np.isnan(rows_of(record)[:, at]).any()}
    assert blank == masked
    assert masked


def test_what_was_not_visible_is_not_in_the_record() -> None:
    record = decide(ask(view(history(), held((), ("personalization", "analytics", "marketing")))), setting())
    assert b"champions" not in encode(record)
    assert b"Ann" in encode(record)


@pytest.mark.parametrize(("asked", "given"), [(None, 3), (1, 1), (2, 2), (50, 3), (0, 1)])
def test_the_placement_bounds_the_slate(asked: int | None, given: int) -> None:
    assert len(decide(ask(view(history()), limit=asked), setting()).answer["actions"]) == given


def test_an_unknown_placement_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="agent_desktop, email"):
        decide(ask(view(), placement="nowhere"), setting())


def test_no_candidate_is_an_empty_slate() -> None:
    own = catalogue([{**a, "when": "false"} for a in msgspec.to_builtins(catalogue().documents.actions)])
    record = decide(ask(view(history())), setting(small_model(), own))
    assert record.answer["actions"] == []
    assert {entry["rule"] for entry in record.answer["blocked"]} == {"eligibility", "validity"}
    assert not record.answer["explored"]


@pytest.mark.parametrize("context", [{"reason": None}, {"reason": ["a"]}, {"reason": 2**62}, {"sentiment": "bad"}, {}])
def test_any_json_context_is_answered(context: dict[str, Any]) -> None:
    assert decide(ask(view(history()), context=context), setting()).answer["actions"]


CALLED = msgspec.structs.replace(event(7, "identify"), identifiers=(Identifier("phone", "+14155552671", ID),))
BARE = msgspec.structs.replace(
    PURPOSES, purposes={**PURPOSES.purposes, "marketing": Purpose("marketing", default={"US": True}, uses=())}
)


def written(night: str, purposes: Purposes, **settings: str) -> DecisionRecord:
    """A decision about an e-mail, quiet from 21 to 8, to somebody with a number in California; replayed on the way."""
    only = [action("letter", purpose="marketing")]
    where = Setting(catalogue(only), purposes, PriorModel(), {})
    record = decide(ask(view([CALLED], held(**settings)), 1, "email", at=instant(night, 0)), where)
    past = MemoryPast(where.catalogue, where.purposes, where.model)
    assert replay(record, past).identical
    return record


@pytest.mark.parametrize("purposes", [PURPOSES, BARE])
def test_it_is_night_where_the_number_is(purposes: Purposes) -> None:
    record = written("2027-01-15T12:30:00Z", purposes)
    assert [rule for _, rule, _ in record.blocked] == ["quiet_hours"]
    assert record.policy["time_zone"] == record.settings["time_zone"] == "America/Los_Angeles"
    assert not written("2027-01-15T22:30:00Z", purposes).blocked
    stated = written("2027-01-15T22:30:00Z", purposes, time_zone="UTC")
    assert [rule for _, rule, _ in stated.blocked] == ["quiet_hours"]


def test_numbers_are_looked_up_only_where_an_hour_could_be_quiet() -> None:
    web = decide(ask(view([CALLED])), setting())
    assert (web.policy["time_zone"], web.settings) == ("UTC", {})
