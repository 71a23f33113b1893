"""The IAB's GPP string as a value: its header and the sections we understand (2 TCF EU, 6 US privacy, 7 US national,
8 California). Knows their form; every other section is kept as text and says nothing. Malformed is `Rejected`."""

import re
from collections.abc import Callable, Sequence

import msgspec

from engine.bits import LONGEST, Bits
from engine.errors import Rejected
from engine.tcf import TcString, decode_section

CODE = "invalid_gpp_string"
TCF_EU, US_PRIVACY, US_NATIONAL, US_CALIFORNIA = 2, 6, 7, 8
OPTED_OUT = 1
_HEADER_TYPE, _HEADER_VERSION = 3, 1
_LARGEST_SECTION = 4095
_USP = re.compile(r"1[YN-]{3}", re.ASCII)
_NAMES_US = ("sale", "sharing", "targeted_advertising")


class Choices(msgspec.Struct, frozen=True):
    """What a US section says: each opt-out as 0 (does not apply), 1 (opted out) or 2 (did not), None where the section
    does not know it; and whether the browser sent Global Privacy Control, None where the section does not say."""

    sale: int | None = None
    sharing: int | None = None
    targeted_advertising: int | None = None
    gpc: bool | None = None

    @property
    def opted_out(self) -> bool:
        return self.gpc is True or OPTED_OUT in (self.sale, self.sharing, self.targeted_advertising)


class GppString(msgspec.Struct, frozen=True):
    """A whole string; `raw` is the text of every section by id, whether understood or not."""

    raw: dict[int, str]
    eu: TcString | None = None
    choices: dict[int, Choices] = {}


class _Layout(msgspec.Struct, frozen=True):
    """Where the opt-outs are among a section's two-bit answers, and how many answers there are. A segment of this
    version has as many bits as its answers need, or that many rounded up to whole bytes and characters."""

    answers: int
    sale: int
    sharing: int
    targeted_advertising: int | None = None

    @property
    def lengths(self) -> range:
        exact = 6 + 2 * self.answers
        rounded = exact + -exact % 8
        return range(exact, rounded + -rounded % 6 + 1)


_LAYOUTS: dict[int, dict[int, _Layout]] = {
    US_NATIONAL: {1: _Layout(27, 6, 7, 8), 2: _Layout(32, 6, 7, 8)},
    US_CALIFORNIA: {1: _Layout(20, 3, 4)},
}


def _refused(message: str) -> Rejected:
    return Rejected(CODE, message)


def _gpc(text: str) -> bool:
    bits = Bits(text, CODE)
    if bits.number(2) != 1:
        raise bits.refused("a sub-section of the string is of an unknown type")
    said = bits.flag()
    bits.finish()
    return said


def _answers(bits: Bits, count: int) -> Sequence[int]:
    found = [bits.number(2) for _ in range(count)]
    if max(found) > 2:
        raise bits.refused("an answer in the string is neither 0, 1 nor 2")
    return found


def _us(section: int, text: str) -> Choices:
    core, *others = text.split(".")
    if len(others) > 1:
        raise _refused("a section of the string has too many sub-sections")
    bits = Bits(core, CODE)
    layout = _LAYOUTS[section].get(bits.number(6))
    if layout is None or len(bits) not in layout.lengths:
        raise bits.refused("a section of the string has an unknown version, or not the length of its version")
    answers = _answers(bits, layout.answers)
    bits.finish()
    places = (layout.sale, layout.sharing, layout.targeted_advertising)
    said = {name: None if at is None else answers[at] for name, at in zip(_NAMES_US, places, strict=True)}
    return Choices(**said, gpc=_gpc(others[0]) if others else None)


def _us_privacy(_section: int, text: str) -> Choices:
    if not _USP.fullmatch(text):
        raise _refused("the US privacy section is not four characters such as 1YNN")
    return Choices(sale={"Y": OPTED_OUT, "N": 2, "-": 0}[text[2]])


_READERS: dict[int, Callable[[int, str], Choices]] = {
    US_PRIVACY: _us_privacy,
    US_NATIONAL: _us,
    US_CALIFORNIA: _us,
}


def _section_ids(header: str, count: int) -> list[int]:
    """The ids of the sections; there must be `count` of them."""
    bits = Bits(header, CODE)
    if (bits.number(6), bits.number(6)) != (_HEADER_TYPE, _HEADER_VERSION):
        raise bits.refused("this is no GPP string of version 1; one begins with DB")
    found: list[int] = []
    last = 0
    for _ in range(bits.number(12)):
        is_range = bits.flag()
        first = last + bits.fibonacci(_LARGEST_SECTION)
        last = first + bits.fibonacci(_LARGEST_SECTION) if is_range else first
        if last - first + len(found) >= count:
            break
        found += range(first, last + 1)
    else:
        if len(found) == count:
            bits.finish()
            return found
    raise bits.refused("the number of sections is not the one the header says")


def decode(text: str) -> GppString:
    """A GPP string. Raises `Rejected` as soon as any section that we understand is malformed."""
    if len(text) > LONGEST:
        raise _refused(f"a GPP string has at most {LONGEST} characters")
    header, *sections = text.split("~")
    if not all(section.strip() for section in sections):
        raise _refused("a section of the string is empty")
    raw = dict(zip(_section_ids(header, len(sections)), sections, strict=True))
    choices = {section: read(section, raw[section]) for section, read in _READERS.items() if section in raw}
    return GppString(raw, decode_section(raw[TCF_EU]) if TCF_EU in raw else None, choices)
