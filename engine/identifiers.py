"""Identifiers: their types, how each is normalised, and the id each one has. Knows nothing of events or of who belongs
to whom; it never guesses a type ("01234" is not 1234)."""

import hmac
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import msgspec
import phonenumbers
from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_number

from engine.errors import InvalidReference, Rejected

ID_LENGTH = 16
LONGEST_TYPE = 64
LONGEST_VALUE = 1024
RESERVED = "profile_id"
_BEHIND_ALL_OTHERS = 1_000_000
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_SHIFTS = tuple(range(70, -1, -10))


class Identifier(msgspec.Struct, frozen=True, array_like=True):
    """One normalised identifier; `id` is what the rest of the system calls it."""

    type: str
    value: str
    id: str


class IdentifierType(msgspec.Struct, frozen=True):
    """Rules of one identifier type. Lower `rank` is stronger; a `shared` type never links people and is weaker than
    every type that is not shared, so that no event makes its home on a family's tablet while it names a person.

    `max_per_person` is how many one person may hold (0: any number). `blocked` values identify nobody, written as they
    may come: "+49 (0)30 123456" blocks that number in every spelling.
    """

    rank: int
    normalise: str = "text"
    shared: bool = False
    max_per_person: int = 0
    blocked: tuple[str, ...] = ()


DEFAULT_TYPES: dict[str, IdentifierType] = {
    "user_id": IdentifierType(10, max_per_person=1),
    "crm_id": IdentifierType(20, max_per_person=1),
    "email": IdentifierType(30, "email"),
    "phone": IdentifierType(40, "phone"),
    "push_token": IdentifierType(60),
    "device_id": IdentifierType(70, shared=True),
    "anonymous_id": IdentifierType(80),
}
BLOCKED_EVERYWHERE = frozenset(
    {"", "null", "none", "nil", "nan", "undefined", "unknown", "anonymous", "n/a", "0", "-1", "test@example.org"}
    | {"test@example.com", "test@test.com", "00000000-0000-0000-0000-000000000000"}
)


class IdentityRules(msgspec.Struct, frozen=True):
    """Identifier types by name and what applies to all of them; versioned with every record. `blocked` values identify
    nobody under any type, beside those that never do."""

    types: dict[str, IdentifierType] = msgspec.field(default_factory=lambda: dict(DEFAULT_TYPES))
    other: IdentifierType = IdentifierType(50)
    default_region: str = "US"
    max_component: int = 1000
    blocked: tuple[str, ...] = ()

    def type_of(self, name: str) -> IdentifierType:
        return self.types.get(name, self.other)

    def rank(self, name: str) -> int:
        rule = self.type_of(name)
        return rule.rank + (_BEHIND_ALL_OTHERS if rule.shared else 0)


def _text(value: str, _region: str) -> str:
    return value.strip()


def _email(value: str, _region: str) -> str:
    local, _, domain = value.strip().rpartition("@")
    if not local or "." not in domain or len(value.split()) != 1:
        raise Rejected("invalid_email", "the e-mail address is not one; send it as name@domain or leave it out")
    try:
        host = domain.lower().encode("idna").decode("ascii")
    except UnicodeError as error:
        raise Rejected("invalid_email", "the e-mail address has a domain that cannot exist") from error
    return f"{unicodedata.normalize('NFC', local.lower())}@{host}"


def _phone(value: str, region: str) -> str:
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException as error:
        raise Rejected("invalid_phone", "the phone number cannot be read; send it in E.164 form (+49…)") from error
    if not phonenumbers.is_possible_number(number):
        raise Rejected("invalid_phone", "the phone number has an impossible length; send it in E.164 form (+49…)")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# telling a mobile number from one of a town costs a tenth of a millisecond
@lru_cache(maxsize=65_536)
def time_zones(number: str) -> tuple[str, ...]:
    """Where a phone number in E.164 form may ring: all time zones of its area, or of its country where it has none, by
    their IANA names; none where they are unknown."""
    try:
        zones = time_zones_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return ()
    return tuple(zone for zone in zones if zone != UNKNOWN_TIMEZONE)


_NORMALISERS: dict[str, Callable[[str, str], str]] = {"text": _text, "email": _email, "phone": _phone}
NORMALISERS = frozenset(_NORMALISERS)


def identifier_id(secret: bytes, kind: str, value: str) -> str:
    """The id of a normalised identifier: 80 bits of HMAC-SHA256 over `type:value` as 16 characters of base32."""
    bits = int.from_bytes(hmac.digest(secret, f"{kind}:{value}".encode(), "sha256")[:10], "big")
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])


# people come again: normalising and hashing what was seen a moment ago is most of the cost of an event
@lru_cache(maxsize=65_536)
def _identifier(secret: bytes, kind: str, value: str, normaliser: str, region: str) -> Identifier:
    if not kind or len(kind) > LONGEST_TYPE or ":" in kind or kind == RESERVED:
        raise Rejected("invalid_identifier", "an identifier's type is 1 to 64 characters without a colon")
    if len(value) > LONGEST_VALUE:
        raise Rejected("invalid_identifier", f"an identifier is at most {LONGEST_VALUE} characters long")
    normal = _NORMALISERS[normaliser](value, region)
    return Identifier(kind, normal, identifier_id(secret, kind, normal))


@lru_cache(maxsize=256)
def _blocked(written: tuple[str, ...], normaliser: str, region: str) -> frozenset[str]:
    """Blocked values as they are after normalising; one that is none of its type blocks its own spelling."""
    found = set()
    for value in written:
        try:
            found.add(_NORMALISERS[normaliser](value, region).lower())
        except Rejected:
            found.add(value.strip().lower())
    return BLOCKED_EVERYWHERE | found


def identify(secret: bytes, rules: IdentityRules, kind: str, value: str) -> Identifier | None:
    """Normalise one identifier. Returns None for a blocked value, raises `Rejected` for a malformed one."""
    rule = rules.type_of(kind)
    identifier = _identifier(secret, kind, value, rule.normalise, rules.default_region)
    blocked = _blocked((*rules.blocked, *rule.blocked), rule.normalise, rules.default_region)
    return None if identifier.value.lower() in blocked else identifier


def is_id(text: str) -> bool:
    return len(text) == ID_LENGTH and all(c in _ALPHABET for c in text)


def parse_reference(secret: bytes, rules: IdentityRules, reference: str) -> Identifier:
    """Read `type:value` exactly as an event's identifier would be read; `profile_id:<id>` names an id directly."""
    kind, colon, value = reference.partition(":")
    if not colon or not kind or not value:
        raise InvalidReference("a reference has the form type:value, for example user_id:u-1 or email:ann@example.org")
    if kind == RESERVED:
        if not is_id(value):
            raise InvalidReference("a profile_id is 16 characters a-z and 2-7; copy it from an answer of this API")
        return Identifier(kind, value, value)
    try:
        identifier = identify(secret, rules, kind, value)
    except Rejected as rejected:
        raise InvalidReference(rejected.message) from rejected
    if identifier is None:
        raise InvalidReference(f"this value of {kind} is on the list of values that identify nobody")
    return identifier
