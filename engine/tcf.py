"""The IAB's TC string (TCF 2.2 and 2.3) as a value. Knows the form of the string and when one is valid; nothing of what
its answers are worth here. Whatever is malformed is `Rejected` as a whole."""

from collections.abc import Callable

import msgspec

from engine.bits import LONGEST, Bits, Ids
from engine.errors import Rejected

CODE = "invalid_tc_string"
DECISECOND = 100
# 2026-02-28T00:00Z: strings made from then on must say which vendors were disclosed (TCF 2.3)
DISCLOSURE_SINCE = 1_772_236_800_000
NOT_ALLOWED, NEEDS_CONSENT, NEEDS_INTEREST = 0, 1, 2
_PURPOSES, _FEATURES = 24, 12
# 0 and 1 are nobody's number
_FIRST_CMP = 2


class Restriction(msgspec.Struct, frozen=True):
    """What a publisher does not leave to these vendors for one purpose."""

    purpose: int
    type: int
    vendors: Ids

    @property
    def leaves_consent(self) -> bool:
        """Whether these vendors may still use the purpose on consent."""
        return self.type == NEEDS_CONSENT


class Publisher(msgspec.Struct, frozen=True):
    """What was agreed with the publisher itself."""

    consents: Ids
    interests: Ids
    custom_consents: Ids
    custom_interests: Ids


class TcString(msgspec.Struct, frozen=True, kw_only=True):
    """A whole string. Times in epoch ms; a segment that is not there is None."""

    created: int
    last_updated: int
    cmp_id: int
    cmp_version: int
    consent_screen: int
    language: str
    vendor_list: int
    policy: int
    service_specific: bool
    non_standard_texts: bool
    special_features: Ids
    purposes: Ids
    interests: Ids
    one_treatment: bool
    country: str
    vendors: Ids
    vendor_interests: Ids
    restrictions: tuple[Restriction, ...]
    disclosed: Ids | None = None
    allowed: Ids | None = None
    publisher: Publisher | None = None


def _restrictions(bits: Bits) -> tuple[Restriction, ...]:
    found: dict[tuple[int, int], int] = {}
    for _ in range(bits.number(12)):
        key = bits.number(6), bits.number(2)
        if key[0] == 0 or key[1] > NEEDS_INTEREST:
            raise bits.refused("a publisher restriction in the string names no purpose or no known type")
        found[key] = found.get(key, 0) | bits.ranges().mask
    return tuple(Restriction(*key, Ids(mask)) for key, mask in sorted(found.items()))


def _core(text: str) -> TcString:
    bits = Bits(text, CODE)
    if bits.number(6) != 2:
        raise bits.refused("this is no TC string of version 2; strings of version 1 ended in 2020")
    core = TcString(
        created=bits.number(36) * DECISECOND,
        last_updated=bits.number(36) * DECISECOND,
        cmp_id=bits.number(12),
        cmp_version=bits.number(12),
        consent_screen=bits.number(6),
        language=bits.letters(),
        vendor_list=bits.number(12),
        policy=bits.number(6),
        service_specific=bits.flag(),
        non_standard_texts=bits.flag(),
        special_features=bits.field(_FEATURES),
        purposes=bits.field(_PURPOSES),
        interests=bits.field(_PURPOSES),
        one_treatment=bits.flag(),
        country=bits.letters(),
        vendors=bits.vector(),
        vendor_interests=bits.vector(),
        restrictions=_restrictions(bits),
    )
    bits.finish()
    return core


def _vendors(bits: Bits) -> Ids:
    return bits.vector()


def _publisher(bits: Bits) -> Publisher:
    consents, interests = bits.field(_PURPOSES), bits.field(_PURPOSES)
    count = bits.number(6)
    return Publisher(consents, interests, bits.field(count), bits.field(count))


_SEGMENTS: dict[int, tuple[str, Callable[[Bits], Ids | Publisher]]] = {
    1: ("disclosed", _vendors),
    2: ("allowed", _vendors),
    3: ("publisher", _publisher),
}


def _segment(text: str) -> tuple[str, Ids | Publisher]:
    bits = Bits(text, CODE)
    kind = bits.number(3)
    if kind not in _SEGMENTS:
        raise bits.refused("a segment of the string is of an unknown type")
    name, read = _SEGMENTS[kind]
    value = read(bits)
    bits.finish()
    return name, value


def decode_section(text: str) -> TcString:
    """The string as a GPP section carries it. Raises `Rejected`."""
    if len(text) > LONGEST:
        raise Rejected(CODE, f"a TC string has at most {LONGEST} characters")
    first, *others = text.split(".")
    segments = [_segment(other) for other in others]
    if len({name for name, _ in segments}) < len(segments):
        raise Rejected(CODE, "a segment of the string is there twice")
    found = msgspec.structs.replace(_core(first), **dict(segments))
    if found.disclosed is None and found.created >= DISCLOSURE_SINCE:
        message = "a TC string made on or after 2026-02-28 must have the segment of disclosed vendors (TCF 2.3)"
        raise Rejected(CODE, message)
    return found


def decode(text: str) -> TcString:
    """A TC string as a consent tool gives it. Raises `Rejected`."""
    found = decode_section(text)
    if found.cmp_id < _FIRST_CMP:
        raise Rejected(CODE, "the string names no consent management platform")
    return found
