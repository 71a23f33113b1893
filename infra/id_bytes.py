"""Ids as bytes in the store: ten instead of sixteen letters. Knows their alphabet; nothing of what an id stands for.

What is no id of ours stays text, so that nothing is ever lost on the way.
"""

from collections.abc import Iterable

from engine.identifiers import is_id

ID_BYTES = 10
# five bits a letter: Python reads them as digits of base 32, whose letters are others
_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = tuple(first + second for first in _LETTERS for second in _LETTERS)
_SHIFTS = tuple(range(70, -1, -10))
# longer than an id, so that neither is taken for the other
_AS_TEXT = bytes(ID_BYTES + 1)


def pack_id(identity: str) -> bytes:
    """Ten bytes for an id; for anything else its text behind eleven zeros."""
    if not is_id(identity):
        return _AS_TEXT + identity.encode()
    return int(identity.translate(_DIGITS), 32).to_bytes(ID_BYTES, "big")


def unpack_id(packed: bytes) -> str:
    """What `pack_id` was given."""
    if len(packed) != ID_BYTES:
        return packed.removeprefix(_AS_TEXT).decode()
    bits = int.from_bytes(packed, "big")
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])


def pack_ids(identities: Iterable[str]) -> tuple[bytes, ...]:
    return tuple([pack_id(identity) for identity in identities])


def unpack_ids(packed: Iterable[bytes]) -> tuple[str, ...]:
    return tuple([unpack_id(one) for one in packed])
