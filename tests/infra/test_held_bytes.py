"""The byte form of consent in the store: what goes in comes out."""

from hypothesis import given
from hypothesis import strategies as st

from engine.consent import STATUSES, Held, Statement
from infra.held_bytes import decode_held_bytes, encode_held
from tests.strategies import HOMES

STATEMENTS = st.builds(
    Statement,
    st.sampled_from([*sorted(STATUSES), "one of tomorrow"]),
    st.integers(0, 2**53),
    st.text(max_size=5),
    st.booleans(),
    st.lists(st.sampled_from([one.id for one in HOMES]), max_size=3).map(tuple),
    st.text(max_size=3),
)
NAMES = st.sampled_from(["service", "personalization", "all", ""])
HELD = st.builds(
    Held,
    st.dictionaries(NAMES, st.lists(STATEMENTS, max_size=2).map(tuple)),
    st.dictionaries(NAMES, st.dictionaries(NAMES, st.booleans())),
    st.dictionaries(NAMES, NAMES),
    st.integers(0, 2**53),
)


@given(HELD)
def test_what_is_held_comes_out_as_it_was(held: Held) -> None:
    assert decode_held_bytes(encode_held(held)) == held


def test_one_grant_that_covers_three_identifiers_takes_less_than_a_hundred_bytes() -> None:
    granted = Statement("granted", 1_790_000_000_000, "preferences", True, tuple(one.id for one in HOMES[:3]), "v1")
    assert len(encode_held(Held({"personalization": (granted,)}, version=123_456))) < 100
