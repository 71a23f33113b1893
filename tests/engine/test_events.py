"""What the door makes of a client's event: every rejection code, null as absent, the shapes of Segment and RudderStack
SDKs, the clock, identifiers and the consent an event carries."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.carried import Forms, carried_consent
from engine.errors import Rejected
from engine.events import CONSENT_CHANGED, Arrival, Event, corrected_time, normalise, parse_time
from engine.identifiers import IdentityRules
from tests.strategies import SECRET

NOON = parse_time("2026-03-01T12:00:00Z") or 0
RULES = IdentityRules()
ARRIVAL = Arrival(SECRET, "web", NOON, consent=Forms({"ads": "marketing", "stats": "analytics"}))


def accepted(raw: dict[str, Any], **arrival: Any) -> Event:
    return normalise({"type": "track", "event": "Seen", "userId": "u-1", **raw}, replaced(**arrival), RULES, "made-1")


def replaced(**changes: Any) -> Arrival:
    return msgspec.structs.replace(ARRIVAL, **changes)


def names(event: Event) -> list[tuple[str, str]]:
    return [(i.type, i.value) for i in event.identifiers]


REJECTED: dict[str, tuple[str, dict[str, Any]]] = {
    "no type": ("unknown_type", {"type": None}),
    "a type of ours": ("unknown_type", {"type": "outcome"}),
    "a type that is no text": ("invalid_field", {"type": ["track"]}),
    "nobody": ("missing_identity", {"userId": None}),
    "an empty id": ("missing_identity", {"userId": ""}),
    "an id that stands for nobody": ("missing_identity", {"userId": "null"}),
    "an id that is an object": ("invalid_field", {"userId": {"id": 1}}),
    "an id that is a yes": ("invalid_field", {"userId": True}),
    "an id that is too long": ("invalid_identifier", {"userId": "u" * 1025}),
    "a message id that is too long": ("invalid_field", {"messageId": "m" * 256}),
    "track without a name": ("missing_event", {"event": ""}),
    "group without an id": ("missing_group", {"type": "group"}),
    "alias without a previous id": ("invalid_alias", {"type": "alias"}),
    "alias without a user": ("invalid_alias", {"type": "alias", "userId": None, "previousId": "a-1"}),
    "alias of a blocked id": ("invalid_alias", {"type": "alias", "previousId": "undefined"}),
    "merge of nothing": ("invalid_merge", {"type": "merge"}),
    "merge of one": (
        "invalid_merge",
        {"type": "merge", "mergeProperties": [{"type": "email", "value": "a@b.example"}]},
    ),
    "merge of text": ("invalid_merge", {"type": "merge", "mergeProperties": ["a", "b"]}),
    "merge with itself": (
        "invalid_merge",
        {"type": "merge", "userId": None, "mergeProperties": [{"type": "email", "value": "a@b.example"}] * 2},
    ),
    "properties that are a list": ("invalid_field", {"properties": []}),
    "traits that are text": ("invalid_field", {"traits": "gold"}),
    "context that is text": ("invalid_field", {"context": "web"}),
    "a time that is none": ("invalid_timestamp", {"timestamp": "yesterday"}),
    "a time that is a number": ("invalid_timestamp", {"timestamp": 1_700_000_000}),
    "a day that does not exist": ("invalid_timestamp", {"timestamp": "2026-02-30T00:00:00Z"}),
    "a sending time that is none": ("invalid_timestamp", {"sentAt": "soon"}),
    "an external id with a colon in its type": (
        "invalid_identifier",
        {"context": {"externalIds": [{"type": "user_id:x", "id": "y", "collection": "users"}]}},
    ),
    "an external id of a reserved type": (
        "invalid_identifier",
        {"context": {"externalIds": [{"type": "profile_id", "id": "y", "collection": "users"}]}},
    ),
}


@pytest.mark.parametrize(("code", "raw"), REJECTED.values(), ids=REJECTED)
def test_a_rejection_says_why(code: str, raw: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as rejected:
        accepted(raw)
    assert rejected.value.code == code
    assert rejected.value.message


ANNS = "ann.secret@example.org"
ECHOES: dict[str, dict[str, Any]] = {
    "type": {"type": ANNS},
    "time": {"timestamp": ANNS},
    "id": {"userId": ANNS * 60},
    "blocked": {"userId": None, "context": {"traits": {"email": ANNS + "@"}}},
    "field": {"properties": ANNS},
    "identifier type": {"context": {"externalIds": [{"type": f"{ANNS}:", "id": ANNS}]}},
    "merge": {"type": "merge", "mergeProperties": [{"type": "email", "value": ANNS}, {"type": ANNS}]},
}


@pytest.mark.parametrize("raw", ECHOES.values(), ids=ECHOES)
def test_a_rejection_never_echoes_the_input(raw: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as rejected:
        accepted(raw)
    assert ANNS not in rejected.value.message


OPTIONAL = ("anonymousId", "messageId", "timestamp", "originalTimestamp", "sentAt", "traits", "properties", "context")


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_is_absent(field: str) -> None:
    assert accepted({field: None}) == accepted({})


def test_null_inside_the_context_is_absent() -> None:
    nothing = {"device": None, "traits": None, "externalIds": None, "consent": None, "consentManagement": None}
    assert accepted({"context": {**nothing, "locale": None}}) == accepted({})


def test_a_message_id_is_made_when_missing() -> None:
    assert accepted({}).message_id == "made-1"
    assert accepted({"messageId": "m-7"}).message_id == "m-7"


def test_numbers_stay_text() -> None:
    assert names(accepted({"userId": "01234"})) == [("user_id", "01234")]
    assert names(accepted({"userId": 1234})) == [("user_id", "1234")]
    assert accepted({"userId": "01234"}).home != accepted({"userId": 1234}).home


SKEW = {
    "network delay": ("12:00:00", "12:00:05", "12:10:05", "12:10:00"),
    "no sending time": ("12:00:00", None, "12:10:05", "12:00:00"),
    "no time": (None, "12:00:05", "12:10:05", "12:10:05"),
    "a client in the past": ("11:00:00", "11:00:01", "12:00:00", "11:59:59"),
    "later than receipt": ("12:30:00", None, "12:10:05", "12:10:05"),
    "sent before it happened": ("12:00:05", "12:00:00", "12:10:00", "12:10:00"),
}


@pytest.mark.parametrize(("original", "sent", "received", "expected"), SKEW.values(), ids=SKEW)
def test_the_client_clock_is_corrected(original: str | None, sent: str | None, received: str, expected: str) -> None:
    at = {name: parse_time(f"2026-03-01T{t}Z") for name, t in {"r": received, "e": expected}.items()}
    raw = {"timestamp": original and f"2026-03-01T{original}Z", "sentAt": sent and f"2026-03-01T{sent}Z"}
    assert accepted(raw, received=at["r"]).at == at["e"]


def test_a_clock_one_day_ahead_is_set_back() -> None:
    raw = {"timestamp": "2026-03-02T12:00:00Z", "sentAt": "2026-03-02T12:00:02Z"}
    assert accepted(raw, received=NOON + 2000).at == NOON


def test_the_events_own_sending_time_beats_the_batch() -> None:
    raw = {"originalTimestamp": "2026-03-01T11:00:00Z", "sentAt": "2026-03-01T11:00:10Z"}
    assert accepted(raw, received=NOON, sent_at=NOON).at == NOON - 10_000
    assert accepted({**raw, "sentAt": None}, received=NOON, sent_at=NOON).at == NOON - 3_600_000


@given(st.integers(0, 1 << 42), st.none() | st.integers(-(1 << 46), 1 << 46), st.integers(0, 1 << 42))
def test_no_time_is_later_than_receipt_or_before_1970(original: int, sent: int | None, received: int) -> None:
    assert 0 <= corrected_time(original, sent, received) <= received


@given(st.datetimes().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)))
def test_milliseconds_are_exact(moment: Any) -> None:
    at = parse_time(moment.isoformat(timespec="milliseconds") + "Z")
    assert at is not None
    assert at % 1000 == moment.microsecond // 1000


def test_offsets_and_fractions_are_read() -> None:
    assert parse_time("2026-03-01T13:00:00+01:00") == NOON
    assert parse_time("2026-03-01T12:00:00") == NOON
    assert parse_time("2026-03-01T12:00:00.1239999Z") == NOON + 123


def test_identifiers_come_strongest_first_and_once() -> None:
    raw = {
        "anonymousId": "a-1",
        "context": {
            "device": {"id": "d-1", "token": "t-1"},
            "traits": {"email": "Ann@Example.org", "phone": "+49 30 123456"},
            "externalIds": [
                {"id": "c-9", "type": "crm_id", "collection": "users", "encoding": "none"},
                {"id": "u-1", "type": "user_id", "collection": "users"},
                {"id": "g-9", "type": "account", "collection": "accounts"},
            ],
        },
    }
    event = accepted(raw)
    kinds = ["user_id", "crm_id", "email", "phone", "push_token", "anonymous_id", "device_id"]
    assert [i.type for i in event.identifiers] == kinds
    assert event.home == event.identifiers[0].id
    assert ("email", "ann@example.org") in names(event)


def test_a_shared_device_is_nobodys_home() -> None:
    event = accepted({"userId": None, "anonymousId": "a-1", "context": {"device": {"id": "tablet"}}})
    assert event.identifiers[0].type == "anonymous_id"


@pytest.mark.parametrize("traits", [{"email": "not one"}, {"phone": "12"}, {"email": 7}, {"email": ""}, {"phone": {}}])
def test_a_malformed_contact_stays_a_trait(traits: dict[str, Any]) -> None:
    event = accepted({"type": "identify", "traits": traits})
    assert names(event) == [("user_id", "u-1")]
    assert event.traits == traits


def test_rudderstack_traits_are_found_in_the_context() -> None:
    event = accepted({"type": "identify", "context": {"traits": {"plan": "gold", "email": "ann@example.org"}}})
    assert event.traits == {"plan": "gold", "email": "ann@example.org"}
    assert ("email", "ann@example.org") in names(event)


def test_a_rudderstack_python_event_is_accepted() -> None:
    raw = {
        "type": "track",
        "event": "Order Completed",
        "userId": "u-1",
        "anonymousId": None,
        "channel": "server",
        "messageId": "5e1b",
        "originalTimestamp": "2026-03-01T11:59:58.123+00:00",
        "sentAt": "2026-03-01T12:00:00Z",
        "integrations": {"All": True},
        "context": {"library": {"name": "rudder-sdk-python", "version": "2"}, "traits": {}},
        "properties": {"revenue": 9.5},
    }
    event = normalise(raw, ARRIVAL, RULES, "unused")
    assert (event.at, event.message_id, event.properties) == (NOON - 1877, "5e1b", {"revenue": 9.5})


def test_the_address_of_a_group_is_nobodys_own() -> None:
    raw = {
        "type": "group",
        "groupId": "acme",
        "traits": {"email": "office@acme.example", "phone": "+49 30 999999"},
        "context": {"traits": {"email": "ann@example.org", "plan": "gold"}},
    }
    event = accepted(raw)
    assert names(event) == [("user_id", "u-1"), ("email", "ann@example.org")]
    assert event.traits == raw["traits"]
    assert accepted({**raw, "traits": None}).traits == {}


def test_alias_joins_the_previous_id() -> None:
    event = accepted({"type": "alias", "previousId": "a-1", "anonymousId": None})
    assert names(event) == [("user_id", "u-1"), ("anonymous_id", "a-1")]
    assert names(accepted({"type": "alias", "previousId": "c-1"}, alias_type="crm_id"))[1] == ("crm_id", "c-1")


def test_merge_joins_what_it_names() -> None:
    pairs = [{"type": "email", "value": "A@b.example"}, {"type": "phone", "value": "+49 30 123456"}]
    event = accepted({"type": "merge", "userId": None, "mergeProperties": pairs})
    assert names(event) == [("email", "a@b.example"), ("phone", "+4930123456")]


def test_the_context_keeps_what_is_used() -> None:
    context = {"ip": "192.0.2.1", "userAgent": "x", "locale": "de-DE", "timezone": "Europe/Berlin", "groupId": "acme"}
    assert accepted({"context": context}).context == {k: context[k] for k in ("locale", "timezone", "groupId")}


CARRIED: dict[str, tuple[dict[str, Any], dict[str, bool] | None]] = {
    "nothing": ({}, None),
    "an empty consent": ({"consent": {}}, None),
    "null preferences": ({"consent": {"categoryPreferences": None}}, None),
    "empty preferences refuse all": (
        {"consent": {"categoryPreferences": {}}},
        {"marketing": False, "analytics": False},
    ),
    "a missing category is refused": (
        {"consent": {"categoryPreferences": {"ads": True}}},
        {"marketing": True, "analytics": False},
    ),
    "the documented misspelling": (
        {"consent": {"categoryPreference": {"ads": True, "stats": True}}},
        {"marketing": True, "analytics": True},
    ),
    "only true is a yes": (
        {"consent": {"categoryPreferences": {"ads": "true", "stats": 1}}},
        {"marketing": False, "analytics": False},
    ),
    "a purpose by its own name": (
        {"consent": {"categoryPreferences": {"ads": True, "stats": True, "personalization": False, "x": None}}},
        {"marketing": True, "analytics": True, "personalization": False},
    ),
    "a purpose named twice takes the no": (
        {"consent": {"categoryPreferences": {"ads": True, "stats": True, "marketing": False}}},
        {"marketing": False, "analytics": True},
    ),
    "rudderstack": (
        {"consentManagement": {"allowedConsentIds": ["ads", "C0003"], "deniedConsentIds": ["stats", 4]}},
        {"marketing": True, "analytics": False},
    ),
    "rudderstack, allowed and denied": (
        {"consentManagement": {"allowedConsentIds": ["ads"], "deniedConsentIds": ["ads"]}},
        {"marketing": False},
    ),
    "rudderstack with nothing": ({"consentManagement": {"provider": "custom"}}, None),
}


@pytest.mark.parametrize(("context", "expected"), CARRIED.values(), ids=CARRIED)
def test_the_consent_an_event_carries(context: dict[str, Any], expected: dict[str, bool] | None) -> None:
    event = accepted({"context": context})
    assert event.consent == expected
    assert not event.explicit


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.booleans()))
def test_a_purpose_of_several_categories_needs_them_all(said: dict[str, bool]) -> None:
    answer = carried_consent({"consent": {"categoryPreferences": said}}, Forms({"a": "p", "b": "p", "c": "p"}))
    assert answer == {"p": all(said.get(category, False) for category in "abc")}
    rudder = {"allowedConsentIds": [c for c in said if said[c]], "deniedConsentIds": [c for c in said if not said[c]]}
    heard = carried_consent({"consentManagement": rudder}, Forms({"a": "p", "b": "p", "c": "p"}))
    refused, silent = not all(said.values()), len(said) < 3
    assert heard == ({"p": False} if refused else None if silent else {"p": True})


def test_only_the_change_event_is_explicit() -> None:
    context = {"consent": {"categoryPreferences": {"ads": True}}}
    assert accepted({"event": CONSENT_CHANGED, "context": context}).explicit
    assert not accepted({"event": CONSENT_CHANGED.lower(), "context": context}).explicit
    assert not accepted({"event": CONSENT_CHANGED}).explicit


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)
FIELDS = ("userId", "event", "groupId", "previousId", "mergeProperties", *OPTIONAL)


@given(
    st.sampled_from(["track", "identify", "page", "screen", "group", "alias", "merge", "x"]),
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=6),
)
def test_whatever_comes_is_accepted_or_rejected(kind: str, raw: dict[str, Any]) -> None:
    try:
        event = normalise({"userId": "u-1", "event": "x", **raw, "type": kind}, ARRIVAL, RULES, "m")
    except Rejected:
        return
    assert 0 <= event.at <= event.received
    assert event.home == event.identifiers[0].id
