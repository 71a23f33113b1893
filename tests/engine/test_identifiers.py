"""How identifiers are normalised, which are blocked, and what a reference may look like."""

import hmac
from base64 import b32encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidReference, Rejected
from engine.identifiers import (
    BLOCKED_EVERYWHERE,
    IdentifierType,
    IdentityRules,
    identifier_id,
    identify,
    is_id,
    parse_reference,
    time_zones,
)
from tests.strategies import SECRET

RULES = IdentityRules()


def normal(kind: str, value: str, rules: IdentityRules = RULES) -> str | None:
    found = identify(SECRET, rules, kind, value)
    return None if found is None else found.value


EMAILS = {
    " Ann@Example.ORG ": "ann@example.org",
    "ann+news@example.org": "ann+news@example.org",
    "ann@Bücher.example": "ann@xn--bcher-kva.example",
    "jürgen@example.org": "jürgen@example.org",
    "ju\u0308rgen@example.org": "jürgen@example.org",
    '"a@b"@example.org': '"a@b"@example.org',
}


@pytest.mark.parametrize(("sent", "kept"), EMAILS.items())
def test_an_email_is_normalised(sent: str, kept: str) -> None:
    assert normal("email", sent) == kept


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ann",
        "@example.org",
        "ann@",
        "ann@host",
        "a b@example.org",
        "a\tb@x.example",
        "ann@a..b",
        "ann@" + "x" * 64 + ".example",
    ],
)
def test_what_is_no_email_is_refused(value: str) -> None:
    with pytest.raises(Rejected, match="e-mail") as rejected:
        normal("email", value)
    assert rejected.value.code == "invalid_email"


PHONES = {
    "+49 30 123456": "+4930123456",
    "+49 (0)30 123456": "+4930123456",
    "(415) 555-2671": "+14155552671",
    "tel:+1-415-555-2671": "+14155552671",
}


@pytest.mark.parametrize(("sent", "kept"), PHONES.items())
def test_a_phone_number_becomes_e164(sent: str, kept: str) -> None:
    assert normal("phone", sent) == kept


def test_a_national_number_is_read_in_the_configured_region() -> None:
    assert normal("phone", "030 123456", IdentityRules(default_region="DE")) == "+4930123456"


@pytest.mark.parametrize("value", ["", "call me", "12", "+49", "+1" + "5" * 30, "5" * 300])
def test_what_is_no_phone_number_is_refused(value: str) -> None:
    with pytest.raises(Rejected, match="phone") as rejected:
        normal("phone", value)
    assert rejected.value.code == "invalid_phone"


@pytest.mark.parametrize(
    ("number", "zones"),
    [
        ("+4930123456", ("Europe/Berlin",)),
        ("+14155552671", ("America/Los_Angeles",)),
        ("+34612345678", ("Atlantic/Canary", "Europe/Madrid")),
        ("+80012345678", ()),
        ("030 123456", ()),
    ],
)
def test_a_number_rings_in_all_zones_of_its_area_or_country(number: str, zones: tuple[str, ...]) -> None:
    assert time_zones(number) == zones


def test_text_stays_text() -> None:
    assert normal("user_id", "01234") == "01234"
    assert normal("user_id", " U-1 ") == "U-1"
    assert normal("user_id", "1e3") == "1e3"


@pytest.mark.parametrize("value", sorted(BLOCKED_EVERYWHERE))
def test_blocked_values_identify_nobody(value: str) -> None:
    assert normal("user_id", value) is None
    assert normal("anonymous_id", f" {value.upper()} ") is None


def test_a_type_may_block_values_of_its_own() -> None:
    rules = IdentityRules(types={"user_id": IdentifierType(1, blocked=("guest",))})
    assert normal("user_id", "guest", rules) is None
    assert normal("crm_id", "guest", rules) == "guest"


@pytest.mark.parametrize("sent", ["+1 415 555 0100", "(415) 555-0100", "tel:+1-415-555-0100"])
def test_a_blocked_value_is_blocked_in_every_spelling(sent: str) -> None:
    """The company's own switchboard, as whoever configured it wrote it."""
    rules = IdentityRules(types={"phone": IdentifierType(1, "phone", blocked=("+1 415-555-0100",))})
    assert normal("phone", sent, rules) is None
    assert normal("phone", "+14155550101", rules) == "+14155550101"


def test_values_may_be_blocked_for_every_type() -> None:
    rules = IdentityRules(blocked=("Not Set", "info@example.net"))
    assert normal("user_id", "not set", rules) is None
    assert normal("email", "INFO@example.net", rules) is None
    assert normal("email", "ann@example.net", rules) == "ann@example.net"


@given(st.text(max_size=20), st.text(max_size=20).filter(lambda v: v.isprintable()))
def test_an_id_is_eighty_bits_of_hmac(kind: str, value: str) -> None:
    digest = hmac.digest(SECRET, f"{kind}:{value}".encode(), "sha256")[:10]
    made = identifier_id(SECRET, kind, value)
    assert made == b32encode(digest).decode().lower()
    assert is_id(made)


def test_another_secret_gives_other_ids() -> None:
    assert identifier_id(SECRET, "email", "a@b.example") != identifier_id(b"another", "email", "a@b.example")


def test_no_two_types_share_an_id() -> None:
    with pytest.raises(Rejected) as rejected:
        normal("user_id:x", "y")
    assert rejected.value.code == "invalid_identifier"


def test_a_reference_is_read_as_an_event_would_be() -> None:
    assert parse_reference(SECRET, RULES, "email:Ann@Example.org") == identify(
        SECRET, RULES, "email", "ann@example.org"
    )
    assert parse_reference(SECRET, RULES, "user_id:a:b").value == "a:b"
    known = identifier_id(SECRET, "user_id", "u-1")
    assert parse_reference(SECRET, RULES, f"profile_id:{known}").id == known


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "u-1",
        ":u-1",
        "user_id:",
        "user_id:null",
        "email:ann.secret",
        "profile_id:ann.secret",
        "profile_id:" + "A" * 16,
    ],
)
def test_what_is_no_reference_is_refused_without_repeating_it(reference: str) -> None:
    with pytest.raises(InvalidReference) as invalid:
        parse_reference(SECRET, RULES, reference)
    assert "ann.secret" not in str(invalid.value)
