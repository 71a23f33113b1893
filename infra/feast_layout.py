"""Feast's online layout in Redis, byte for byte: entity keys, field names, values and timestamps, encoded in bulk.
Knows bytes only: no Redis, and no Feast, whose import takes seconds."""

import struct
from collections.abc import Sequence

import mmh3
import msgspec
import numpy as np
import numpy.typing as npt

from features.views import PROJECT, View

Rows = npt.NDArray[np.float32]
STRING = 2
FLOAT_TAG = 0x35
VALUE_BYTES = 5
# no ValueProto begins with 0: five zeros stand for a null on the way to Redis, where it is the empty text
NULL = bytes(VALUE_BYTES)
_U32 = struct.Struct("<I")


class Layout(msgspec.Struct, frozen=True):
    """One view as it lies in a hash: a 4-byte field per column, one for the timestamp and one for our version."""

    view: str
    join_keys: tuple[str, ...]
    columns: tuple[str, ...]
    project: str = PROJECT

    @property
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
    return _U32.pack(STRING) + _U32.pack(len(data)) + data


def entity_key(join_keys: Sequence[str], values: Sequence[str]) -> bytes:
    """Feast's serialized entity key, version 3, of string values, sorted by join key."""
    pairs = sorted(zip(join_keys, values, strict=True))
    names, texts = [_prefixed(name) for name, _ in pairs], [_prefixed(value) for _, value in pairs]
    return b"".join((_U32.pack(len(pairs)), *names, *texts))


def field(view: str, column: str) -> bytes:
    """The field of one column: murmur3 of `view:column`, little-endian."""
    return mmh3.hash(f"{view}:{column}", signed=False).to_bytes(4, "little")


def encode_rows(rows: Rows) -> list[bytes]:
    """Each row of a float32 array (rows, columns) as its values side by side, 5 bytes each; NaN is five zeros."""
    values = np.ascontiguousarray(rows, dtype="<f4")
    cells = np.empty((*values.shape, VALUE_BYTES), dtype=np.uint8)
    cells[..., 0] = FLOAT_TAG
    cells[..., 1:] = values.view(np.uint8).reshape(*values.shape, 4)
    cells[np.isnan(values)] = 0
    return [row.tobytes() for row in cells]


def decode_row(data: bytes) -> Rows:
    """The reverse for one row: float32 of shape (columns,), NaN where null."""
    cells = np.frombuffer(data, dtype=np.uint8).reshape(-1, VALUE_BYTES)
    values = np.ascontiguousarray(cells[:, 1:]).view("<f4").reshape(-1).astype(np.float32, copy=True)
    values[cells[:, 0] != FLOAT_TAG] = np.nan
    return values


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
