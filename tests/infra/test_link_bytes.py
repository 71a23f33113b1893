"""The byte forms of ids and of identity's groups: what goes in comes out, also what is no id of ours."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.identity import Edge, Said
from infra.id_bytes import pack_id, pack_ids, unpack_id, unpack_ids
from infra.link_bytes import decode_entry, encode_group, encode_pointer
from infra.redis_store import decode_index, encode_index
from tests.strategies import HOMES, OTHERS

IDS = st.one_of(
    st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=16, max_size=16),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from([one.id for one in (*HOMES, *OTHERS)]),
)
SEEN = st.none() | st.tuples(st.integers(0, 2**53), st.text(max_size=5))
SAID = st.builds(Said, st.integers(0, 2**53), st.sampled_from(["positive", "negative"]), st.text(), st.text())
KINDS = st.sampled_from(["user_id", "email", "profile_id"])
EDGES = st.builds(Edge, IDS, KINDS, IDS, KINDS, SEEN, st.lists(SAID, max_size=2).map(tuple))


@given(st.lists(IDS, max_size=5))
def test_ids_come_out_as_they_were(ids: list[str]) -> None:
    assert unpack_ids(pack_ids(ids)) == tuple(ids)


@pytest.mark.parametrize("identity", ["a" * 16, "7" * 16, "a" * 15 + "b", HOMES[0].id])
def test_an_id_takes_ten_bytes(identity: str) -> None:
    packed = pack_id(identity)
    assert len(packed) == 10
    assert unpack_id(packed) == identity


@pytest.mark.parametrize("identity", ["", "a", "A" * 16, "a" * 17, "a" * 15 + "1", "é" * 16, "0" * 16])
def test_what_is_no_id_is_taken_for_none(identity: str) -> None:
    assert len(pack_id(identity)) > 10
    assert unpack_id(pack_id(identity)) == identity


@given(st.lists(EDGES, max_size=6))
def test_edges_of_a_group_come_out_as_they_were(edges: Sequence[Edge]) -> None:
    assert decode_entry(encode_group(edges)) == tuple(edges)


@given(IDS)
def test_a_pointer_names_its_group(group: str) -> None:
    assert decode_entry(encode_pointer(group)) == group


@given(st.integers(0, 2**48 - 1), st.lists(IDS, min_size=1, max_size=4))
def test_index_entries_come_out_as_they_were(version: int, members: list[str]) -> None:
    found, person = decode_index(encode_index(version, members))
    assert (found, person.members) == (version, tuple(members))


def test_an_index_entry_of_three_identifiers_is_one_allocation() -> None:
    """Redis keeps strings of up to 44 bytes together with their object."""
    assert len(encode_index(7, [one.id for one in HOMES[:3]])) <= 44
