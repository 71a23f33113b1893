"""The id of a decision, `<profile_id>.<ulid>`: how it is made and what can be read from it. Knows nothing of the
decision; time and entropy are arguments."""

import re

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_FORM = re.compile(r"[a-z2-7]{16}\.[0-7][0-9A-HJKMNP-TV-Z]{25}")
PATTERN = r"^[a-z2-7]{16}\.[0-7][0-9A-HJKMNP-TV-Z]{25}$"


def ulid(at: int, entropy: bytes) -> str:
    """26 characters of Crockford base32: 48 bits of milliseconds, then the first 80 bits of `entropy`."""
    number = (at & 0xFFFFFFFFFFFF) << 80 | int.from_bytes(entropy[:10].rjust(10, b"\0"), "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def decision_id(profile_id: str, at: int, entropy: bytes) -> str:
    return f"{profile_id}.{ulid(at, entropy)}"


def is_decision_id(text: str) -> bool:
    return _FORM.fullmatch(text) is not None


def profile_of(decision: str) -> str:
    """The profile id a decision id of valid form begins with: the home of its outcomes."""
    return decision.partition(".")[0]


def decided_at(decision: str) -> int:
    """When a decision id of valid form was made, in ms."""
    number = 0
    for letter in decision.partition(".")[2][:10]:
        number = number << 5 | _VALUES[letter]
    return number
