"""What an identifier holds of consent, as bytes in the store: without names of fields, statuses as numbers, ids as ten
bytes. Knows the byte form; nothing of where it is kept or of what a statement means."""

import msgspec

from engine.consent import Held, Statement
from infra.id_bytes import pack_ids, unpack_ids

# part of the stored form: new ones go to the end. A status that is not here is kept as text.
_STATUSES = ("granted", "denied", "withdrawn", "objected", "pending", "expired", "not_asked")
_NUMBERS = {status: number for number, status in enumerate(_STATUSES)}


class _Said(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A `Statement`."""

    status: int | str
    at: int
    source: str
    explicit: bool = True
    covers: tuple[bytes, ...] = ()
    text_version: str = ""


class _Held(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A `Held`, what most have first."""

    version: int
    statements: dict[str, tuple[_Said, ...]] = {}
    preferences: dict[str, dict[str, bool]] = {}
    settings: dict[str, str] = {}


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Held)


def encode_held(held: Held) -> bytes:
    statements = {purpose: tuple(map(_shortened, said)) for purpose, said in held.statements.items()}
    return _ENCODER.encode(_Held(held.version, statements, held.preferences, held.settings))


def decode_held_bytes(raw: bytes) -> Held:
    """What `encode_held` was given."""
    found = _DECODER.decode(raw)
    statements = {purpose: tuple(map(_whole, said)) for purpose, said in found.statements.items()}
    return Held(statements, found.preferences, found.settings, found.version)


def _shortened(one: Statement) -> _Said:
    status = _NUMBERS.get(one.status, one.status)
    return _Said(status, one.at, one.source, one.explicit, pack_ids(one.covers), one.text_version)


def _whole(said: _Said) -> Statement:
    status = said.status if isinstance(said.status, str) else _STATUSES[said.status]
    return Statement(status, said.at, said.source, said.explicit, unpack_ids(said.covers), said.text_version)
