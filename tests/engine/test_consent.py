"""Consent resolved by jurisdiction, basis and the statements of all members; and what `reveal` lets through."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from engine.consent import (
    DENIED,
    GRANTED,
    NOT_ASKED,
    OBJECTED,
    STRICT,
    Consent,
    Held,
    Purpose,
    Purposes,
    Statement,
    as_dict,
    country_of,
    next_expiry,
    resolve,
    reveal,
    widens,
)
from engine.events import Event
from engine.parts import EVENT_PURPOSES, KIND_PURPOSES, signal_purpose
from engine.profile import Fragment, Profile, State, merge
from engine.signals import DAY, observe
from engine.timeline import Moment
from tests.strategies import ANN, EMAIL, START, folded

POLICY = Purposes(
    {
        "service": Purpose("service", "contract"),
        "analytics": Purpose("analytics", "legitimate_interests", default={"GDPR": True, "US": True}),
        "personalization": Purpose("personalization", default={"US": True, "US-CA": False}),
    },
    traits={"plan": "service", "country": "service", "email": "service", "visits": "analytics"},
    countries={"US": "US", "DE": "GDPR"},
)


def said(purpose: str, status: str, at: int = 5, **more: Any) -> Held:
    return Held({purpose: (Statement(status, at, "page", **more),)})


DEFAULTS: dict[str, tuple[str | None, dict[str, bool]]] = {
    "US": ("US", {"service": True, "analytics": True, "personalization": True}),
    "DE": ("DE", {"service": True, "analytics": True, "personalization": False}),
    "a country nobody configured": ("FR", {"service": True, "analytics": False, "personalization": False}),
    "no country": (None, {"service": True, "analytics": False, "personalization": False}),
}


@pytest.mark.parametrize(("country", "expected"), DEFAULTS.values(), ids=DEFAULTS)
def test_who_was_not_asked_gets_the_default_of_the_jurisdiction(country: str | None, expected: dict[str, bool]) -> None:
    consent = resolve({}, POLICY, country)
    assert {purpose: consent.allows(purpose) for purpose in POLICY.purposes} == expected


def in_jurisdiction(*stated: str) -> Consent:
    return resolve({str(n): Held(settings={"jurisdiction": one}) for n, one in enumerate(stated)}, POLICY, "US")


def test_a_state_may_differ_from_its_country_and_inherits_where_it_does_not() -> None:
    assert not in_jurisdiction("US-CA").allows("personalization")
    assert in_jurisdiction("US-TX").allows("personalization")
    assert in_jurisdiction("US-CA").allows("analytics")


def test_a_stated_jurisdiction_beats_the_country_and_two_are_strict() -> None:
    assert in_jurisdiction("GDPR").jurisdiction == "GDPR"
    assert in_jurisdiction("GDPR", "US").jurisdiction == STRICT
    assert not in_jurisdiction("GDPR", "US").allows("analytics")


def test_a_contract_is_not_withdrawn_and_its_source_is_named() -> None:
    answer = resolve({"a": said("service", DENIED)}, POLICY).answers["service"]
    assert (answer.status, answer.basis, answer.allowed, answer.at) == (GRANTED, "contract", True, 5)


def test_an_objection_ends_a_legitimate_interest() -> None:
    consent = resolve({"a": said("analytics", "objected")}, POLICY, "DE")
    assert (consent.answers["analytics"].status, consent.allows("analytics")) == ("objected", False)


def test_the_strictest_of_all_members_holds() -> None:
    held = {"a": said("personalization", GRANTED, 9), "b": said("personalization", DENIED, 5)}
    assert resolve(held, POLICY, "US").answers["personalization"].status == DENIED


def test_a_later_grant_that_covers_them_settles_it() -> None:
    held = {"a": said("personalization", GRANTED, 9, covers=("a", "b")), "b": said("personalization", DENIED, 5)}
    answer = resolve(held, POLICY).answers["personalization"]
    assert (answer.status, answer.at, answer.source) == (GRANTED, 9, "page")


def test_an_old_cookie_grants_nothing() -> None:
    assert (
        resolve({"a": said("personalization", GRANTED, explicit=False)}, POLICY).answers["personalization"].status
        == NOT_ASKED
    )
    assert not resolve({"a": said("analytics", DENIED, explicit=False)}, POLICY, "DE").allows("analytics")


def test_a_status_nobody_knows_is_a_no() -> None:
    assert not resolve({"a": said("personalization", "sure, why not")}, POLICY, "US").allows("personalization")


def test_a_preference_is_a_no_for_topic_or_channel() -> None:
    held = {
        "a": Held(preferences={"email": {"news": False, "offers": True}, "sms": {"all": False}}),
        "b": Held(preferences={"email": {"offers": False}}),
    }
    consent = resolve(held, POLICY)
    reached = {(c, t): consent.reaches(c, t) for c, t in [("email", "news"), ("email", "offers"), ("sms", "x")]}
    assert not any(reached.values())
    assert consent.reaches("email", "service")
    assert consent.reaches("voice")


def test_widening_is_seen() -> None:
    consent = resolve({}, POLICY, "DE")
    assert widens(consent, {"personalization": True})
    assert not widens(consent, {"analytics": True, "personalization": False})


def test_the_plain_form_is_stable() -> None:
    held = {"b": said("analytics", DENIED), "a": Held(version=2)}
    one, other = (as_dict(resolve(h, POLICY)) for h in (held, dict(reversed(held.items()))))
    assert msgspec.json.encode(one) == msgspec.json.encode(other)
    assert one["purposes"]["analytics"] == {
        "status": OBJECTED,
        "basis": "legitimate_interests",
        "at": 5,
        "source": "page",
    }


def happened(number: int, kind: str, name: str = "", **more: Any) -> Event:
    return Event(f"m{number}", "web", kind, name, START + number, START + number, ANN.id, (ANN, EMAIL), **more)


def person() -> Profile:
    fragment = folded(
        [
            happened(
                1, "identify", traits={"plan": "gold", "country": "DE", "hobby": "chess", "visits": 3, "email": None}
            ),
            happened(2, "page", "Home"),
            happened(3, "track", "Product Viewed", properties={"category": "hats"}),
            happened(4, "track", "Order Completed", properties={"revenue": 5, "category": "hats"}),
            happened(5, "track", "Issue Opened", properties={"issueId": "i1"}),
            happened(6, "outcome", "presented", properties={"action_id": "a", "category": "hats", "channel": "voice"}),
            happened(7, "outcome", "declined", properties={"action_id": "a", "category": "hats"}),
            happened(8, "group", "acme", traits={"plan": "team"}),
        ]
    )
    return merge([fragment], [ANN.id, EMAIL.id])


ALL = ("service", "analytics", "personalization")


def shown(moment: Moment, *purposes: str, policy: Purposes = POLICY) -> tuple[Moment, ...]:
    """What is left of a timeline of one line, for somebody who allows everything."""
    one = merge([Fragment("a", State(count=1, timeline=(moment,)))], ["a"])
    return reveal(one, resolve({}, POLICY, "US"), purposes, policy).timeline


def test_everything_is_seen_where_everything_is_allowed() -> None:
    seen = reveal(person(), resolve({}, POLICY, "US"), ALL, POLICY)
    assert seen.masked == ()
    assert set(seen.traits) == {"plan", "country", "hobby", "visits"}
    assert set(seen.signals) == set(person().state.signals)
    assert len(seen.timeline) == 8
    assert seen.identifiers == {ANN.id: ("user_id", "ann"), EMAIL.id: ("email", "ann@example.org")}


def test_what_is_closed_is_absent_and_named() -> None:
    held = {ANN.id: said("analytics", DENIED)}
    seen = reveal(person(), resolve(held, POLICY, "DE"), ALL, POLICY)
    assert seen.purposes == ("service",)
    assert set(seen.traits) == {"plan", "country"}
    assert {"trait:hobby", "trait:visits", "signal:page_views", "signal:product_views", "signal:views@hats"} <= set(
        seen.masked
    )
    assert {name.partition("@")[0].partition(".")[0] for name in seen.signals} == {"events", "purchases", "revenue"}
    assert [moment.name for moment in seen.timeline if moment.kind in ("page", "track")] == [
        "Order Completed",
        "Issue Opened",
    ]
    assert seen.latest == {}


def test_a_purpose_nobody_asked_for_opens_nothing() -> None:
    seen = reveal(person(), resolve({}, POLICY, "US"), ("analytics",), POLICY)
    assert (set(seen.traits), set(seen.signals)) == ({"visits"}, {"page_views"})
    assert (seen.issues, seen.accounts, seen.identifiers) == ({}, {}, {})


def test_contact_policy_sees_contacts_and_declines_whatever_is_closed() -> None:
    seen = reveal(person(), resolve({}, POLICY, "DE"), (), POLICY)
    assert [contact.action_id for contact in seen.contacts] == ["a"]
    assert seen.declines == {"a": START + 7}
    assert (seen.traits, seen.signals, seen.timeline) == ({}, {}, ())


@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        ("revenue.EUR", "service"),
        ("contacts.voice", "service"),
        ("sessions", "analytics"),
        ("purchases@hats", "personalization"),
        ("responses.accepted", "personalization"),
        ("a signal of tomorrow", "personalization"),
    ],
)
def test_every_signal_belongs_to_a_purpose(name: str, purpose: str) -> None:
    assert signal_purpose(name) == purpose


@pytest.mark.parametrize(("kind", "names"), [("track", EVENT_PURPOSES), *((kind, ("x",)) for kind in KIND_PURPOSES)])
def test_a_line_of_the_timeline_is_for_what_its_signal_is_for(kind: str, names: Iterable[str]) -> None:
    for name in names:
        [moment, *_] = folded([happened(1, kind, name)]).state.timeline
        counted = [signal_purpose(signal) for signal, _ in observe(happened(1, kind, name)) if signal != "events"]
        line = EVENT_PURPOSES[name] if kind == "track" else KIND_PURPOSES[kind]
        assert set(counted) <= {line}
        assert [m.name for m in shown(moment, line)] == [moment.name]
        assert shown(moment, *({*ALL} - {line})) == ()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("track", "Products Searched"),
        ("track", "Video Watched"),
        ("outcome", "accepted"),
        ("exposure", "web"),
        ("page", "Order Completed"),
        ("a kind of tomorrow", "Order Completed"),
    ],
)
def test_a_line_that_nothing_names_is_none_of_service(kind: str, name: str) -> None:
    assert shown(Moment(1, "m", kind, name, {}), "service") == ()


def test_events_of_the_company_s_own_are_for_what_is_configured() -> None:
    own = msgspec.structs.replace(POLICY, events={"Invoice Sent": "service", "Order Completed": "analytics"})
    sent, order = (Moment(1, "m", "track", name, {}) for name in own.events)
    assert (shown(sent, "service"), shown(sent, "service", policy=own)) == ((), (sent,))
    assert (shown(order, "service"), shown(order, "service", policy=own)) == ((order,), ())


def test_the_next_yes_to_expire_is_named() -> None:
    policy = Purposes({name: Purpose(name, valid_days=days) for name, days in (("a", 1), ("b", 2), ("c", 0))})
    held = {"x": Held({name: (Statement(GRANTED, 5, "page"),) for name in policy.purposes})}
    first, second = 5 + DAY, 5 + 2 * DAY
    for at, told in ((first - 1, first), (first, second), (second - 1, second), (second, None)):
        assert next_expiry(resolve(held, policy, at=at)) == told
    restricted = {"x": msgspec.structs.replace(held["x"], settings={"restriction": "dispute"})}
    assert next_expiry(resolve(restricted, policy, at=first - 1)) is None


def test_the_country_is_read_from_the_profile() -> None:
    assert country_of(person()) == "DE"
    assert country_of(merge([], ["nobody"])) is None


OBJECTING = Purposes(
    {
        "marketing": Purpose("marketing", "legitimate_interests", objection_includes=("profiling",)),
        "profiling": Purpose("profiling"),
    }
)
PROFILED = Statement(GRANTED, 1, "page", True, ("a",))


@pytest.mark.parametrize(
    "said",
    [
        (Statement("withdrawn", 5, "page"),),
        (Statement(DENIED, 5, "web", False),),
        (Statement(OBJECTED, 4, "page"), Statement(DENIED, 5, "web", False)),
    ],
)
def test_any_no_to_what_rests_on_legitimate_interests_reaches_what_it_includes(said: tuple[Statement, ...]) -> None:
    consent = resolve({"a": Held({"marketing": said, "profiling": (PROFILED,)})}, OBJECTING)
    assert [consent.answers[p].status for p in ("marketing", "profiling")] == [OBJECTED, OBJECTED]
    assert not consent.allows("profiling")


def test_limits_of_all_ids_hold() -> None:
    held = {"a": Held(settings={"frequency": "1/30d", "language": "de"}), "b": Held(settings={"frequency": "20/1d"})}
    assert resolve(held, POLICY).settings == {"frequency": "1/30d,20/1d", "language": "de"}


def test_the_zones_of_all_ids_count_whatever_their_order() -> None:
    berlin, denver = (Held(settings={"time_zone": zone}) for zone in ("Europe/Berlin", "America/Denver"))
    for held in ({"a": berlin, "b": denver}, {"a": denver, "b": berlin}):
        assert resolve(held, POLICY).settings == {"time_zone": "America/Denver,Europe/Berlin"}
