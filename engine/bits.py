"""Bits in web-safe base64, read from the front: what the IAB's consent strings are made of. Knows nothing of what the
bits mean; whatever cannot be read is `Rejected`."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator

import msgspec

from engine.errors import Rejected

LONGEST = 32_768
_ALPHABET = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_PER_CHARACTER = 6
_ID, _COUNT = 16, 12


class Ids(msgspec.Struct, frozen=True):
    """A set of positive numbers as a bit mask, as cheap for every vendor there can be as for one."""

    mask: int = 0

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and number > 0 and self.mask >> number & 1 == 1

    def __iter__(self) -> Iterator[int]:
        return (n for n, bit in enumerate(reversed(f"{self.mask:b}")) if bit == "1")


def ids(numbers: Iterable[int]) -> Ids:
    return Ids(sum(1 << number for number in set(numbers)))


class Bits:
    """A cursor over the bits of one segment. `code` is the code of the `Rejected` it raises."""

    def __init__(self, text: str, code: str) -> None:
        self._code = code
        if len(text) > LONGEST or not _ALPHABET.fullmatch(text):
            raise self.refused("a part of the string is not web-safe base64; pass it on exactly as the tool gave it")
        padded = text + "A" * (-len(text) % 4)
        found = "".join(f"{byte:08b}" for byte in urlsafe_b64decode(padded))
        self._bits = found[: len(text) * _PER_CHARACTER]
        self._at = 0

    def refused(self, message: str) -> Rejected:
        return Rejected(self._code, message)

    def _taken(self, count: int) -> str:
        start, self._at = self._at, self._at + count
        if self._at > len(self._bits):
            raise self.refused("the string ends too early; pass it on exactly as the tool gave it")
        return self._bits[start : self._at]

    def __len__(self) -> int:
        return len(self._bits)

    def number(self, count: int) -> int:
        return int(self._taken(count) or "0", 2)

    def flag(self) -> bool:
        return self._taken(1) == "1"

    def letters(self) -> str:
        """Two letters of six bits each."""
        found = self.number(_PER_CHARACTER), self.number(_PER_CHARACTER)
        if max(found) > 25:
            raise self.refused("a language or country in the string is none")
        return "".join(chr(ord("A") + letter) for letter in found)

    def field(self, count: int) -> Ids:
        """A bit per number, the first for 1."""
        return Ids(int(self._taken(count)[::-1] or "0", 2) << 1)

    def ranges(self) -> Ids:
        """A count of entries, each one number or a first and a last one."""
        mask = 0
        for _ in range(self.number(_COUNT)):
            is_range = self.flag()
            first = self.number(_ID)
            last = self.number(_ID) if is_range else first
            if not 1 <= first <= last:
                raise self.refused("a range of numbers in the string runs backwards or starts at zero")
            mask |= (1 << last + 1) - (1 << first)
        return Ids(mask)

    def vector(self) -> Ids:
        """A highest number, then either a bit for each or ranges."""
        highest = self.number(_ID)
        found = self.ranges() if self.flag() else self.field(highest)
        if found.mask >> highest + 1:
            raise self.refused("the string names numbers beyond the highest it says it has")
        return found

    def fibonacci(self, most: int) -> int:
        """A number in Fibonacci coding: it ends at the first two ones in a row. More than `most` is refused."""
        value, step, following, previous = 0, 1, 2, False
        while True:
            bit = self.flag()
            if bit and previous:
                return value
            value += step if bit else 0
            # every later bit stands for more: without this, zeros would grow the steps without end
            if max(value, step) > most:
                raise self.refused("a number in the string is too large")
            step, following, previous = following, step + following, bit

    def finish(self) -> None:
        """Nothing but padding may be left."""
        if "1" in self._bits[self._at :]:
            raise self.refused("the string has more in it than its form allows")
