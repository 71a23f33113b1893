"""Feast's online layout in Redis, byte for byte: entity keys, field names, values and timestamps, encoded in bulk.
Knows bytes only: no Redis, and no Feast, whose import takes seconds."""

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

import mmh3
import msgspec
import numpy as np
import numpy.typing as npt

from features.views import PROJECT, View

Rows = npt.NDArray[np.float32]
STRING = 2
FLOAT_TAG = 0x35
FIELD_BYTES, VALUE_BYTES = 4, 5
CELL_BYTES = 2 + FIELD_BYTES + VALUE_BYTES
NAN = bytes([FLOAT_TAG]) + struct.pack("<f", float("nan"))
_CELL = np.dtype([("tag", np.uint8), ("value", "<f4")])
# msgpack's short text: the reader inside Redis knows no binary type
TEXT = 0xA0
_U32 = struct.Struct("<I")
_TEXT_HEAD = struct.Struct("<II")


class Layout(msgspec.Struct, frozen=True):
    """One view as it lies in a hash: a 4-byte field per column, one for the timestamp and one for our version."""

    view: str
    join_keys: tuple[str, ...]
    columns: tuple[str, ...]
    project: str = PROJECT

    def fields(self) -> tuple[bytes, ...]:
        return tuple(field(self.view, column) for column in self.columns)

    @property
    def timestamp_field(self) -> bytes:
        return f"_ts:{self.view}".encode()

    @property
    def version_field(self) -> bytes:
        """Ours, unknown to Feast, which asks for its own fields by name."""
        return f"_v:{self.view}".encode()

    def key(self, *values: str) -> bytes:
        """The Redis key of one entity; `values` run parallel to the join keys."""
        return entity_key(self.join_keys, values) + self.project.encode()


def layout_of(view: View, prefix: str = "") -> Layout:
    """The layout of a stored view in the project of an installation, whose names start with `prefix`."""
    return Layout(view.name, view.join_keys, view.names, prefix + PROJECT)


def _prefixed(text: str) -> bytes:
    data = text.encode()
    return _TEXT_HEAD.pack(STRING, len(data)) + data


@lru_cache(maxsize=16)
def _named(join_keys: tuple[str, ...]) -> tuple[bytes, tuple[int, ...]]:
    """The names of a key, sorted, and the order that sorts their values."""
    order = sorted(range(len(join_keys)), key=join_keys.__getitem__)
    return b"".join((_U32.pack(len(order)), *(_prefixed(join_keys[n]) for n in order))), tuple(order)


def entity_key(join_keys: tuple[str, ...], values: Sequence[str]) -> bytes:
    """Feast's serialized entity key, version 3, of string values, sorted by join key."""
    names, order = _named(join_keys)
    return names + b"".join([_prefixed(values[n]) for n in order])


def field(view: str, column: str) -> bytes:
    """The field of one column: murmur3 of `view:column`, little-endian."""
    return mmh3.hash(f"{view}:{column}", signed=False).to_bytes(4, "little")


def encode_rows(fields: Sequence[bytes], rows: Rows) -> list[bytes]:
    """Each row of a float32 array (rows, columns) as two msgpack arrays in one: field, value, field, value … of what is
    known, and the fields that are NaN. Feast reads a field that is not there as null, so those are not stored.

    One call fills all rows: a `ValueProto` at a time would cost more than everything else together.
    """
    values = np.ascontiguousarray(rows, dtype="<f4")
    names = np.frombuffer(b"".join(fields), dtype=np.uint8).reshape(len(fields), FIELD_BYTES)
    cells = np.empty((*values.shape, CELL_BYTES), dtype=np.uint8)
    cells[..., 0] = TEXT | FIELD_BYTES
    cells[..., 1:5] = names
    cells[..., 5:7] = TEXT | VALUE_BYTES, FLOAT_TAG
    cells[..., 7:] = values.view(np.uint8).reshape(*values.shape, 4)
    null = np.isnan(values)
    known = zip(_cut(cells[~null], ~null), (2 * (~null).sum(axis=1)).tolist(), strict=True)
    unknown = zip(_cut(cells[null][:, : 1 + FIELD_BYTES], null), null.sum(axis=1).tolist(), strict=True)
    return [b"\x92" + _array(*some) + _array(*none) for some, none in zip(known, unknown, strict=True)]


def _cut(cells: npt.NDArray[np.uint8], chosen: npt.NDArray[np.bool_]) -> list[bytes]:
    """The chosen cells' bytes, row by row."""
    ends = (np.cumsum(chosen.sum(axis=1)) * cells.shape[1]).tolist()
    data = cells.tobytes()
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _array(items: bytes, count: int) -> bytes:
    return b"\xdc" + count.to_bytes(2, "big") + items


def decode_row(values: Iterable[bytes | None]) -> Rows:
    """The values of one row, as they lie in the hash: float32 of shape (columns,), NaN where null or missing."""
    cells = np.frombuffer(b"".join([value or NAN for value in values]), dtype=_CELL)
    return cells["value"].astype(np.float32)


def decode_value(data: bytes | None) -> float:
    """One float32 `ValueProto`; NaN where there is none."""
    if not data or data[0] != FLOAT_TAG:
        return float("nan")
    return float(struct.unpack_from("<f", data, 1)[0])


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@lru_cache(maxsize=256)
def encode_timestamp(at: int) -> bytes:
    """A protobuf `Timestamp` of a time in ms."""
    seconds, millis = divmod(at, 1000)
    parts = ((b"\x08", seconds), (b"\x10", millis * 1_000_000))
    return b"".join(tag + _varint(value) for tag, value in parts if value)


def decode_timestamp(data: bytes) -> int:
    """The time in ms; what is finer is cut off."""
    found = {0x08: 0, 0x10: 0}
    position = 0
    while position < len(data):
        tag, value, shift = data[position], 0, 0
        position += 1
        while True:
            byte = data[position]
            value |= (byte & 0x7F) << shift
            position, shift = position + 1, shift + 7
            if byte < 0x80:
                break
        found[tag] = value
    return found[0x08] * 1000 + found[0x10] // 1_000_000


def encode_version(version: Sequence[int]) -> bytes:
    """A version as digits of fixed width, so that text order is number order in every locale: Redis compares by its."""
    return "".join(f"{part:016d}" for part in version).encode()


def tombstone(link_version: int) -> bytes:
    """A version above every row of this link version and below every row of the next."""
    return encode_version((link_version, 10**16 - 1, 10**16 - 1))
