"""What signals are worth: whose yes counts, when one may widen, and which messages stop."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bits import Ids, ids
from engine.carried import Forms, carried_consent
from engine.consent import DENIED, GRANTED, Held, Purpose, Purposes, Statement, resolve
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
from engine.signals import DAY
from engine.statement import Subject
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


POLICY = Purposes({"marketing": Purpose("marketing")})


def said_by(*said: tuple[str, int]) -> Subject:
    found = held(*said)
    return Subject(tuple(found), found, resolve(found, POLICY))


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
    assert outdated(Heard({"marketing": True}, at), said_by(*said), POLICY, 200) == (["marketing"] if late else [])
    assert outdated(Heard({"marketing": False}, at), said_by(*said), POLICY, 200) == []


def test_a_string_from_a_clock_that_is_ahead_outlasts_no_refusal() -> None:
    ahead = Heard({"marketing": True}, 300)
    assert outdated(ahead, said_by(), POLICY, 200) == []
    assert outdated(ahead, said_by((DENIED, 100)), POLICY, 200) == ["marketing"]
    assert outdated(ahead, said_by((DENIED, 100)), POLICY, 300) == []


def test_a_string_as_old_as_a_yes_that_expired_renews_nothing() -> None:
    policy = Purposes({"marketing": Purpose("marketing", valid_days=10)})
    heard = Heard({"marketing": True}, 5)
    assert outdated(heard, said_by(), policy, 4 + 10 * DAY) == []
    assert outdated(heard, said_by(), policy, 5 + 10 * DAY) == ["marketing"]


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
    "text",
    [
        "STOP",
        "stop",
        " Stop! ",
        "OPT OUT",
        "opt-out",
        "Optout.",
        "«END»",
        "cancel\n",
        "StopAll",
        "STOP ALL",
        "S.T.O.P",
        "ｓｔｏｐ",
    ],
)
def test_the_whole_message_stops(text: str) -> None:
    assert is_stop(text, STOPS)


@pytest.mark.parametrize("text", ["", "stop it", "do not stop", "stops", "cancel my order", "1"])
def test_a_part_of_a_message_does_not(text: str) -> None:
    assert not is_stop(text, STOPS)


@pytest.mark.parametrize("word", ["Opt-Out", "STOP", "ＳＴＯＰ"])
def test_a_configured_word_may_be_spelt_as_people_spell_it(word: str) -> None:
    assert is_stop(word.lower(), StopRules(words=(word,)))


@pytest.mark.parametrize("properties", [{"Body": "STOP", "channel": "sms"}, {"text": "stop", "channel": "SMS "}])
def test_however_its_fields_are_spelt_a_message_leaves_no_text(properties: dict[str, Any]) -> None:
    left = muted({"event": "Message Received", "properties": properties}, STOPS)["properties"]
    assert left == {"channel": properties["channel"], "stop": True}


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
    found = carried_consent({"consent": consent, "consentManagement": managed}, Forms({"ads": "marketing"}))
    assert found is None or all(isinstance(yes, bool) for yes in found.values())


ALL_ADS = {"advertising": True, "sale_or_share": True}


@pytest.mark.parametrize(
    ("consent", "expected"),
    [
        ({"ad_storage": "granted"}, None),
        ({"ad_storage": "granted", "ad_personalization": "granted"}, None),
        (dict.fromkeys(["ad_storage", "ad_personalization", "ad_user_data"], "granted"), ALL_ADS),
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
    assert carried_consent({"consent": consent}, Forms(categories)) == expected


@pytest.mark.parametrize(("strategy", "yes"), [("and", False), ("or", True), (None, False)])
def test_several_rudderstack_ids_for_one_purpose(strategy: str | None, yes: bool) -> None:
    said = {"allowedConsentIds": ["a"], "deniedConsentIds": ["b"], "resolutionStrategy": strategy}
    assert carried_consent({"consentManagement": said}, Forms({"a": "p", "b": "p"})) == {"p": yes}


def test_a_rudderstack_id_that_is_neither_allowed_nor_denied_keeps_its_purpose_shut() -> None:
    forms = Forms({"a": "p", "b": "p", "c": "q"})
    said = {"allowedConsentIds": ["a", "c"], "resolutionStrategy": "and"}
    assert carried_consent({"consentManagement": said}, forms) == {"q": True}
    assert carried_consent({"consentManagement": {**said, "resolutionStrategy": "or"}}, forms) == {"p": True, "q": True}


def test_an_id_that_is_allowed_and_denied_is_denied() -> None:
    said = {"allowedConsentIds": ["a"], "deniedConsentIds": ["a"], "resolutionStrategy": "or"}
    assert carried_consent({"consentManagement": said}, Forms({"a": "p"})) == {"p": False}


def test_where_two_forms_speak_about_one_purpose_both_must_say_yes() -> None:
    context = {
        "consent": dict.fromkeys(["ad_storage", "ad_personalization", "ad_user_data"], "granted"),
        "consentManagement": {"deniedConsentIds": ["advertising", "marketing"]},
    }
    assert carried_consent(context) == {"advertising": False, "sale_or_share": True, "marketing": False}


KNOWN = frozenset({"marketing", "advertising"})


@pytest.mark.parametrize("form", ["consent", "consentManagement"])
def test_a_category_that_nobody_set_up_opens_nothing_though_it_is_called_like_a_purpose(form: str) -> None:
    """A banner's "marketing" means its cookies, not letters."""
    said = {
        "consent": {"categoryPreferences": {"targeting": False, "marketing": True}},
        "consentManagement": {"allowedConsentIds": ["marketing"], "deniedConsentIds": ["targeting"]},
    }[form]
    forms = Forms({"targeting": "advertising"}, purposes=KNOWN)
    assert carried_consent({form: said}, forms) == {"advertising": False}
    assert carried_consent({form: said}, Forms(purposes=KNOWN)) == {"marketing": True}


def test_only_configured_purposes_are_answered_for() -> None:
    """Whoever makes up names fills no store with them."""
    made_up = {f"x{n}": True for n in range(9)} | {"marketing": False}
    assert carried_consent({"consent": {"categoryPreferences": made_up}}, Forms(purposes=KNOWN)) == {"marketing": False}
    assert carried_consent({"consent": {"categoryPreferences": {"x": True}}}, Forms(purposes=KNOWN)) is None


def test_very_many_ids_are_read_in_one_pass() -> None:
    """Were each looked for among all others, 20,000 would hold the loop for many seconds."""
    many = [f"id-{n}" for n in range(20_000)]
    said = {"allowedConsentIds": many, "deniedConsentIds": many[::2], "resolutionStrategy": "or"}
    answers = carried_consent({"consentManagement": said})
    assert answers is not None
    assert (answers["id-0"], answers["id-1"], len(answers)) == (False, True, 20_000)
