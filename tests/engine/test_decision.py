"""Who is a candidate and why not: validity, rules, consent, caps, quiet hours over midnight, cool-down, groups."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog import Action, Catalogue, ContactPolicy, Exploration, Placement, instant, parse_catalogue
from engine.consent import Consent, Held, Purpose, Purposes, Statement, Visible, resolve, reveal
from engine.decision import (
    Blocked,
    Moments,
    Policy,
    Scored,
    decide,
    ineligible,
    permitted,
    rested,
)
from engine.events import Event
from engine.profile import merge
from engine.quiet import hours_at, is_quiet
from engine.rules import Facts
from engine.signals import DAY
from tests.strategies import ANN, START, folded

POLICY = Purposes({"service": Purpose("service", "contract"), "marketing": Purpose("marketing")})
PLACEMENT = Placement("call", "voice", contact=True)
WEB = Placement("web", "web")
NOON = 12


def action(**changes: Any) -> Action:
    values: dict[str, Any] = {"id": "offer", "title": "Offer", "category": "plans", "purpose": "service"}
    shape: dict[str, Any] = {"channels": ("voice", "web"), "placements": ("call", "web"), "content": {"en": "…"}}
    return Action(**{**values, **shape, "value": 1.0, "prior_rate": 0.1, **changes})


def catalogue(when: str, **changes: Any) -> Catalogue:
    one = {"id": "offer", "title": "Offer", "category": "plans", "purpose": "service", "channels": ["web"]}
    rest = {"placements": ["web"], "content": {"en": "…"}, "value": 1, "prior_rate": 0.1, "when": when, **changes}
    return parse_catalogue(
        {"version": "1", "actions": [{**one, **rest}], "placements": [{"id": "web", "channel": "web"}]}
    )


def held_back(known: Catalogue, facts: Facts, at: int) -> Blocked | None:
    [found] = ineligible(known, "web", lambda _purpose: facts, at)
    return found


def outcome(number: int, name: str, at: int, action_id: str = "offer", channel: str = "voice") -> Event:
    properties = {"action_id": action_id, "channel": channel}
    return Event(f"o{number}", "rapport", "outcome", name, at, at, ANN.id, (), {}, properties)


def seen(*happened: Event) -> Visible:
    return reveal(merge([folded(happened)], [ANN.id]), resolve({}, POLICY), ("service",), POLICY)


def blocked(one: Action, visible: Visible, policy: ContactPolicy, at: int, hour: int = NOON) -> str:
    found = rested(one, PLACEMENT, visible, policy, Moments(at, frozenset({hour})))
    return found.rule if found else ""


@pytest.mark.parametrize(
    ("start", "end", "rule"),
    [
        (None, None, None),
        ("2023-11-14", "2023-11-15", None),
        ("2023-11-15", None, "validity"),
        (None, "2023-11-14", "validity"),
        ("2023-11-14T22:13:20Z", None, None),
        (None, "2023-11-14T22:13:20Z", "validity"),
    ],
)
def test_an_action_runs_from_its_start_until_its_end(start: str | None, end: str | None, rule: str | None) -> None:
    known = catalogue("true", start=start, end=end)
    found = held_back(known, Facts({}, {}, {}), instant("2023-11-14T22:13:20Z", 0))
    assert (found.rule if found else None) == rule


def test_a_rule_over_what_is_masked_does_not_hold() -> None:
    known = catalogue("traits.plan == 'gold'")
    assert held_back(known, Facts({"plan": "gold"}, {}, {}), START) is None
    found = held_back(known, Facts({}, {}, {}), START)
    assert found is not None
    assert found.rule == "eligibility"


def consent(**held: Any) -> Consent:
    return resolve({"a": Held(**held)}, POLICY)


PERMITTED: dict[str, tuple[Consent, Action, Placement, str]] = {
    "contract": (consent(), action(), PLACEMENT, ""),
    "never asked": (consent(), action(purpose="marketing"), PLACEMENT, "consent"),
    "granted": (
        consent(statements={"marketing": (Statement("granted", 1, "page"),)}),
        action(purpose="marketing"),
        PLACEMENT,
        "",
    ),
    "a purpose nobody configured": (consent(), action(purpose="moonshine"), PLACEMENT, "consent"),
    "another channel": (consent(), action(channels=("email",)), PLACEMENT, "channel"),
    "no calls": (consent(preferences={"voice": {"all": False}}), action(), PLACEMENT, "preference"),
    "no calls about plans": (consent(preferences={"voice": {"plans": False}}), action(), PLACEMENT, "preference"),
    "no calls about hats": (consent(preferences={"voice": {"hats": False}}), action(), PLACEMENT, ""),
    "no contact is made": (consent(preferences={"web": {"all": False}}), action(), WEB, ""),
}


@pytest.mark.parametrize(("given_consent", "one", "placement", "rule"), PERMITTED.values(), ids=PERMITTED)
def test_consent_needs_purpose_and_channel(
    given_consent: Consent, one: Action, placement: Placement, rule: str
) -> None:
    found = permitted(one, placement, given_consent)
    assert (found.rule if found else "") == rule


@pytest.mark.parametrize("purpose", ["service", "marketing", "moonshine"])
def test_restricted_data_is_the_reason_whatever_was_said_about_the_purpose(purpose: str) -> None:
    found = permitted(action(purpose=purpose), PLACEMENT, consent(settings={"restriction": "1"}))
    assert found is not None
    assert (found.rule, found.detail) == ("consent", "the person's data is restricted")


def test_the_cap_of_an_action_counts_its_own_approaches() -> None:
    visible = seen(outcome(1, "presented", START), outcome(2, "presented", START, "other"))
    capped = action(cap={"7d": 1})
    assert blocked(capped, visible, ContactPolicy(), START + DAY) == "cap"
    assert blocked(capped, visible, ContactPolicy(), START + 7 * DAY) == ""
    assert blocked(action(cap={"7d": 2}), visible, ContactPolicy(), START + DAY) == ""
    assert blocked(action(cap={"1d": 0}), seen(), ContactPolicy(), START) == "cap"


def test_caps_over_everything_and_by_channel() -> None:
    visible = seen(outcome(1, "presented", START, "x", "email"), outcome(2, "offered", START, "y"))
    assert blocked(action(), visible, ContactPolicy(caps={"1d": 2}), START + 5) == "contact_cap"
    assert blocked(action(), visible, ContactPolicy(caps={"1d": 3}), START + 5) == ""
    assert blocked(action(), visible, ContactPolicy(channel_caps={"voice": {"1d": 1}}), START + 5) == "contact_cap"
    assert blocked(action(), visible, ContactPolicy(channel_caps={"email": {"1d": 1}}), START + 5) == ""


def test_showing_a_page_is_no_approach() -> None:
    visible = seen(outcome(1, "presented", START))
    policy = ContactPolicy(caps={"1d": 1}, quiet_channels=("web", "voice"))
    assert rested(action(), WEB, visible, policy, Moments(START + 5, frozenset({3}))) is None


def test_a_declined_action_rests() -> None:
    visible = seen(outcome(1, "declined", START))
    policy = ContactPolicy(rest_after_decline_days=14)
    assert blocked(action(), visible, policy, START + 14 * DAY - 1) == "cool_down"
    assert blocked(action(), visible, policy, START + 14 * DAY) == ""
    assert blocked(action(id="other"), visible, policy, START) == ""
    assert blocked(action(), seen(outcome(1, "skipped", START)), policy, START) == ""


def test_a_declined_action_rests_however_busy_the_customer_is() -> None:
    pages = (Event(f"m{n}", "web", "page", "", START + n, START + n, ANN.id, (ANN,)) for n in range(200))
    assert blocked(action(), seen(outcome(1, "declined", START), *pages), ContactPolicy(), START + DAY) == "cool_down"


@pytest.mark.parametrize(
    ("hour", "rule"), [(20, ""), (21, "quiet_hours"), (0, "quiet_hours"), (7, "quiet_hours"), (8, "")]
)
def test_quiet_hours_reach_over_midnight(hour: int, rule: str) -> None:
    assert blocked(action(), seen(), ContactPolicy(quiet_start=21, quiet_end=8), START, hour) == rule


@given(st.integers(0, 23), st.integers(0, 23), st.integers(0, 23))
def test_an_hour_is_quiet_or_loud_but_not_both(start: int, end: int, hour: int) -> None:
    quiet = is_quiet(hour, ContactPolicy(quiet_start=start, quiet_end=end))
    assert quiet == (hour in {h % 24 for h in range(start, end if start <= end else end + 24)})


def test_quiet_hours_are_the_customers_own() -> None:
    midnight = instant("2026-07-01T00:30:00Z", 0)
    assert hours_at(midnight, "Europe/Berlin", "UTC") == {2}
    assert hours_at(midnight, "America/New_York", "UTC") == {20}
    assert hours_at(midnight, "America/New_York,Europe/Berlin", "UTC") == {2, 20}
    assert hours_at(instant("2026-01-01T00:30:00Z", 0), "Europe/Berlin", "UTC") == {1}


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "America", "\0", "x" * 5000])
def test_an_unknown_zone_is_read_as_the_fallback(zone: str) -> None:
    assert hours_at(instant("2026-01-01T12:00:00Z", 0), zone, "Asia/Tokyo") == {21}
    assert hours_at(instant("2026-01-01T12:00:00Z", 0), zone, zone) == {12}


def test_a_group_appears_once_where_the_placement_says_so() -> None:
    scored = [
        Scored(name, 0.5, value, group=group) for name, value, group in (("a", 9, "x"), ("b", 8, "x"), ("c", 7, ""))
    ]
    assert [r.candidate for r in decide(scored, Policy(limit=3), 1).slate] == [0, 2]
    assert [r.candidate for r in decide(scored, Policy(limit=3, unique_groups=False), 1).slate] == [0, 1, 2]


def test_a_score_multiplies_what_arbitration_weighs() -> None:
    assert Scored("a", 0.5, 10.0, weight=2.0, lever=0.5).score == 5.0
    levered = [Scored("a", 0.5, 10.0), Scored("b", 0.5, 10.0, lever=1.1)]
    assert decide(levered, Policy(Exploration("none")), 1).slate[0].candidate == 1
