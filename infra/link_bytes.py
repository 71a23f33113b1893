"""What the one writer of identity keeps of a group, as bytes: every end named once, links between them by number. Knows
the byte form; nothing of where it is kept or of what a verdict means."""

from collections.abc import Sequence

import msgspec

from engine.identity import Edge, Said
from infra.id_bytes import pack_id, unpack_id


class _Link(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """An edge between two of the ends."""

    left: int
    right: int
    observed: tuple[int, str] | None = None
    said: tuple[Said, ...] = ()


class _Group(msgspec.Struct, frozen=True, array_like=True):
    """Ends as (id, type): two edges may know the type of one id differently."""

    ends: tuple[tuple[bytes, str], ...]
    links: tuple[_Link, ...]


_DECODER = msgspec.msgpack.Decoder(_Group | bytes)
_ENCODER = msgspec.msgpack.Encoder()


def encode_group(edges: Sequence[Edge]) -> bytes:
    """All edges of a group."""
    numbers: dict[tuple[str, str], int] = {}
    links = []
    for edge in edges:
        left = numbers.setdefault((edge.left, edge.left_type), len(numbers))
        right = numbers.setdefault((edge.right, edge.right_type), len(numbers))
        links.append(_Link(left, right, edge.observed, edge.said))
    return _ENCODER.encode(_Group(tuple((pack_id(i), kind) for i, kind in numbers), tuple(links)))


def encode_pointer(group: str) -> bytes:
    """Where the edges of an id lie: with the id its group is named after."""
    return _ENCODER.encode(pack_id(group))


def decode_entry(raw: bytes) -> tuple[Edge, ...] | str:
    """The edges of a group, or the name of the group they lie with."""
    found = _DECODER.decode(raw)
    if not isinstance(found, _Group):
        return unpack_id(found)
    ends = [(unpack_id(packed), kind) for packed, kind in found.ends]
    return tuple(Edge(*ends[link.left], *ends[link.right], link.observed, link.said) for link in found.links)
