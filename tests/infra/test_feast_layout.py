"""The bytes of Feast's layout against Feast's own functions."""

import numpy as np
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features.views import VIEWS, View
from infra.feast_layout import (
    Rows,
    decode_row,
    decode_timestamp,
    decode_value,
    encode_rows,
    encode_timestamp,
    encode_version,
    entity_key,
    layout_of,
    tombstone,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FLOATS = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=st.floats(width=32))
TIMES = st.integers(0, 4_000_000_000_000)


@given(st.dictionaries(TEXTS.filter(bool), TEXTS, min_size=1, max_size=3))
def test_entity_keys_are_feasts(keys: dict[str, str]) -> None:
    names, values = tuple(keys), list(keys.values())
    theirs = EntityKey(join_keys=names, entity_values=[Value(string_val=value) for value in values])
    assert entity_key(names, values) == serialize_entity_key(theirs, entity_key_serialization_version=3)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_fields_are_feasts_and_all_different(view: View) -> None:
    layout = layout_of(view)
    assert layout.fields() == tuple(_mmh3(f"{view.name}:{name}") for name in view.names)
    assert len({*layout.fields(), layout.timestamp_field, layout.version_field}) == len(view.names) + 2


def texts(packed: bytes) -> tuple[list[bytes], list[bytes]]:
    """Two msgpack arrays of short texts in an array; msgspec would insist on UTF-8."""
    assert packed[0] == 0x92
    found: tuple[list[bytes], list[bytes]] = ([], [])
    position = 1
    for some in found:
        assert packed[position] == 0xDC
        count, position = int.from_bytes(packed[position + 1 : position + 3], "big"), position + 3
        for _ in range(count):
            end = position + 1 + (packed[position] & 0x1F)
            some.append(packed[position + 1 : end])
            position = end
    assert position == len(packed)
    return found


@given(FLOATS)
def test_values_are_feasts_and_come_back_and_nulls_are_left_out(rows: Rows) -> None:
    fields = [bytes([n] * 4) for n in range(rows.shape[1])]
    for row, packed in zip(rows, encode_rows(fields, rows), strict=True):
        sent, missing = texts(packed)
        known = [n for n, value in enumerate(row) if not np.isnan(value)]
        assert sent[::2] == [fields[n] for n in known]
        assert sent[1::2] == [Value(float_val=float(row[n])).SerializeToString() for n in known]
        assert missing == [field for n, field in enumerate(fields) if n not in known]
        stored = dict(zip(sent[::2], sent[1::2], strict=True))
        np.testing.assert_array_equal(decode_row([stored.get(field) for field in fields]), row)
        np.testing.assert_array_equal([np.float32(decode_value(stored.get(field))) for field in fields], row)


def test_a_missing_or_empty_value_is_nan() -> None:
    assert np.isnan([decode_value(None), decode_value(b""), *decode_row([None, b""])]).all()


@given(TIMES)
def test_timestamps_are_feasts_and_come_back(at: int) -> None:
    theirs = Timestamp()
    theirs.FromMilliseconds(at)
    assert encode_timestamp(at) == theirs.SerializeToString()
    assert decode_timestamp(encode_timestamp(at)) == at


@given(*(st.tuples(*(st.integers(0, 2**53) for _ in range(3))) for _ in range(2)))
def test_versions_compare_as_text(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    assert (encode_version(left) < encode_version(right)) == (left < right)


@given(st.integers(0, 2**53), st.integers(0, 2**53), st.integers(0, 2**53))
def test_a_tombstone_lies_between_two_link_versions(link: int, consent: int, count: int) -> None:
    for inside in ((link, consent, count), (link, count)):
        assert encode_version(inside) < tombstone(link)
    assert tombstone(link) < encode_version((link + 1, 0, 0))
    assert tombstone(link) < encode_version((link + 1, 0))
