"""What signals are worth: whose yes counts, when one may widen, and which messages stop."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bits import Ids, ids
from engine.carried import carried_consent
from engine.consent import DENIED, GRANTED, Held, Statement
from engine.consent_signals import (
    Heard,
    Needed,
    SignalRules,
    TcfRules,
    check_time,
    hear_gpp,
    hear_tcf,
    outdated,
    with_opt_out,
)
from engine.errors import Rejected
from engine.gpp import Choices, GppString
from engine.stop_messages import StopRules, is_stop, muted
from engine.tcf import Publisher, Restriction, TcString, decode
from tests.engine.test_tcf import CORE

RULES = SignalRules()
# agreed for vendors: 1, 3, 4, 7; the vendors 12 and 755
VENDORS_ONLY = decode(CORE)


def publisher(*purposes: int) -> TcString:
    return msgspec.structs.replace(VENDORS_ONLY, publisher=Publisher(ids(purposes), Ids(), Ids(), Ids()))


@pytest.mark.parametrize(
    ("agreed", "expected"),
    [
        ((1, 5, 6), {"personalization": True, "analytics": False, "advertising": False}),
        ((1, 5), {"personalization": False, "analytics": False, "advertising": False}),
        ((8,), {"personalization": False, "analytics": True, "advertising": False}),
        ((9,), {"personalization": False, "analytics": True, "advertising": False}),
        ((1, 3, 4), {"personalization": False, "analytics": False, "advertising": True}),
        (tuple(range(1, 12)), {"personalization": True, "analytics": True, "advertising": True}),
        ((), {"personalization": False, "analytics": False, "advertising": False}),
    ],
)
def test_the_publishers_segment_speaks_for_us(agreed: tuple[int, ...], expected: dict[str, bool]) -> None:
    assert hear_tcf(publisher(*agreed), RULES.tcf).answers == expected


def test_without_it_a_yes_is_none_and_a_no_is_a_no() -> None:
    assert hear_tcf(VENDORS_ONLY, RULES.tcf).answers == {"personalization": False, "analytics": False}


def of_vendor(vendor: int, **changed: Any) -> dict[str, bool]:
    return hear_tcf(msgspec.structs.replace(VENDORS_ONLY, **changed), TcfRules(vendor)).answers


def test_our_vendor_id_must_be_named_disclosed_and_unrestricted() -> None:
    everywhere = ids([12, 755])
    assert of_vendor(12)["advertising"] is True
    assert of_vendor(13)["advertising"] is False
    assert of_vendor(12, disclosed=ids([755]))["advertising"] is False
    assert of_vendor(12, disclosed=everywhere)["advertising"] is True
    for kind, allowed in ((0, False), (1, True), (2, False)):
        assert of_vendor(12, restrictions=(Restriction(3, kind, everywhere),))["advertising"] is allowed
    assert of_vendor(12, restrictions=(Restriction(3, 0, ids([755])),))["advertising"] is True


@given(st.builds(Needed, st.lists(st.integers(1, 11)), st.lists(st.integers(1, 11))), st.sets(st.integers(1, 11)))
def test_agreeing_to_more_never_refuses(needed: Needed, agreed: set[int]) -> None:
    if needed.holds(agreed):
        assert needed.holds(agreed | {1, 2, 3})
    assert not Needed().holds(agreed)


@pytest.mark.parametrize("section", [6, 7, 8])
def test_an_opt_out_in_any_section_that_applies_refuses(section: int) -> None:
    found = GppString({}, None, {section: Choices(1), 7 if section != 7 else 8: Choices(2, 2, 2)})
    assert hear_gpp(found, RULES).answers == {"sale_or_share": False, "advertising": False}
    elsewhere = msgspec.structs.replace(RULES, us_sections=(99,))
    assert hear_gpp(found, elsewhere).answers == {}


def test_an_opt_out_outranks_section_2() -> None:
    found = GppString({}, publisher(1, 3, 4), {7: Choices(gpc=True)})
    assert hear_gpp(found, RULES).answers["advertising"] is False
    assert hear_gpp(GppString({}, publisher(1, 3, 4)), RULES).answers["advertising"] is True


def held(*said: tuple[str, int]) -> dict[str, Held]:
    return {f"id-{n}": Held({"marketing": (Statement(*one, "test"),)}) for n, one in enumerate(said)}


@pytest.mark.parametrize(
    ("at", "said", "late"),
    [
        (100, [], False),
        (100, [(DENIED, 99)], False),
        (100, [(DENIED, 100)], True),
        (100, [(DENIED, 101)], True),
        (100, [("withdrawn", 101)], True),
        (100, [("pending", 101)], True),
        (100, [("expired", 101)], True),
        (100, [(GRANTED, 101)], False),
        (100, [(DENIED, 50), (DENIED, 150)], True),
        (None, [], True),
    ],
)
def test_a_yes_must_be_later_than_every_no(at: int | None, said: list[tuple[str, int]], late: bool) -> None:
    assert outdated(Heard({"marketing": True}, at), held(*said)) == (["marketing"] if late else [])
    assert outdated(Heard({"marketing": False}, at), held(*said)) == []


def test_an_opt_out_only_refuses() -> None:
    heard = with_opt_out(Heard({"advertising": True, "analytics": True}, 5), RULES)
    assert heard == Heard({"advertising": False, "analytics": True, "sale_or_share": False}, 5)


def test_a_string_may_not_come_from_the_future() -> None:
    check_time(Heard({}, 86_400_000), 0)
    check_time(Heard({}), 0)
    with pytest.raises(Rejected, match="future"):
        check_time(Heard({}, 86_400_001), 0)


STOPS = StopRules()


@pytest.mark.parametrize(
    "text", ["STOP", "stop", " Stop! ", "OPT OUT", "opt-out", "Optout.", "«END»", "cancel\n", "StopAll"]
)
def test_the_whole_message_stops(text: str) -> None:
    assert is_stop(text, STOPS)


@pytest.mark.parametrize("text", ["", "stop it", "do not stop", "stops", "cancel my order", "1", "s t o p"])
def test_a_part_of_a_message_does_not(text: str) -> None:
    assert not is_stop(text, STOPS)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PROPERTIES = st.dictionaries(st.sampled_from(["body", "text", "channel", "topic", "stop", "x"]), ANY)
EVENTS = st.fixed_dictionaries(
    {"event": st.sampled_from(["SMS Received", "Message Received"]), "properties": PROPERTIES}
)


@given(ANY | EVENTS | st.fixed_dictionaries({"event": ANY, "properties": ANY}))
def test_muting_takes_whatever_comes_and_never_adds_text(item: Any) -> None:
    left = muted(item, STOPS)
    if isinstance(left, dict) and left != item:
        assert not {"body", "text", "message", "content"} & set(left["properties"])
        assert set(left["properties"]) - {"stop"} <= set(item["properties"])


CONSENTS = st.fixed_dictionaries(
    {}, optional={"categoryPreferences": ANY, "ad_storage": ANY | st.sampled_from(["granted", "denied"])}
)
MANAGED = st.fixed_dictionaries(
    {}, optional={"allowedConsentIds": ANY, "deniedConsentIds": ANY, "resolutionStrategy": ANY}
)


@given(ANY | CONSENTS, ANY | MANAGED)
def test_any_context_is_heard_or_says_nothing(consent: Any, managed: Any) -> None:
    found = carried_consent({"consent": consent, "consentManagement": managed}, {"ads": "marketing"})
    assert found is None or all(isinstance(yes, bool) for yes in found.values())


@pytest.mark.parametrize(
    ("consent", "expected"),
    [
        ({"ad_storage": "granted"}, {"advertising": True}),
        ({"ad_storage": "granted", "ad_personalization": "denied"}, {"advertising": False}),
        ({"ad_user_data": "denied"}, {"advertising": False, "sale_or_share": False}),
        ({"security_storage": "denied", "functionality_storage": "denied"}, None),
        ({"ad_storage": True}, None),
        ({"analytics_storage": "granted", "categoryPreferences": {"analytics": False}}, {"analytics": False}),
        ({"categoryPreferences": {}}, {"analytics": False}),
    ],
)
def test_google_consent_mode(consent: dict[str, Any], expected: dict[str, bool] | None) -> None:
    categories = {"analytics": "analytics"} if "categoryPreferences" in consent else {}
    assert carried_consent({"consent": consent}, categories) == expected


@pytest.mark.parametrize(("strategy", "yes"), [("and", False), ("or", True), (None, False)])
def test_several_rudderstack_ids_for_one_purpose(strategy: str | None, yes: bool) -> None:
    said = {"allowedConsentIds": ["a"], "deniedConsentIds": ["b"], "resolutionStrategy": strategy}
    assert carried_consent({"consentManagement": said}, {"a": "p", "b": "p"}) == {"p": yes}
