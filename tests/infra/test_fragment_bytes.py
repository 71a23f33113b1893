"""The byte form of a fragment: what goes in comes out, small ones stay plain, and what was written stays readable."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import Event
from engine.ports import Stored
from engine.profile import Fragment
from engine.records import Position
from infra.fragment_bytes import FIRST, WORTH_IT, pack, unpack
from tests.strategies import events, folded


@given(events(max_size=20), st.integers(0, 3))
def test_what_is_packed_comes_out_the_same(happened: list[Event], rebuilt: int) -> None:
    stored = Stored(Position(1, 2, 3), 4, folded(happened), rebuilt)
    packed = pack(stored)
    assert unpack(packed) == stored
    assert pack(unpack(packed)) == packed
    plain = msgspec.msgpack.encode(stored)
    assert packed == plain if len(plain) < WORTH_IT else packed[:1] == FIRST


def test_plain_bytes_are_read_too() -> None:
    stored = Stored(Position(1, 0, 0), 0, Fragment("x" * 900))
    assert unpack(msgspec.msgpack.encode(stored)) == stored


# written once; whoever changes the dictionary can no longer read what is in the stores
WRITTEN = (
    "AYOnt+7zz17tmLIhqdDIJK3CKDcxozyrOLM8ew4vyJzu808zwE4AMib9aMRQNRmWuRYDsz9cQxMkycHKCbj4olwDUKmASHUuruhyDS3IKQNsKy"
    "8wcjT/r+d4bbQCxPjrKxyUgxbhYHU8QHXq/3fNfFpdAmL8XX88Yz9GhINVno31AKq9HrhnIufurSDG3wO9zOxIsVhSBo5FnMYix2JJGdQPk34s"
    "zjU0AnkQNRrBpmCoaZgwFxxTQNkMBmDAwCMQzoDEJFTeEFJUoBcgCIcsKimDFWKnHYyfpYEAzILsF4tyjSgxIP/ColxjSgwo3rEo14QSA8oXLM"
    "o1pcSA6o5FuWaUGFBfsCjXnBIDmiMW5VpQYkC7w6JcS0oM6NYAplADSkzoFwCaQFFahOQSctzQcGROavBHBvXDsyx//LyUA2JHTKy95X/4yFkg"
    "m3Gyb4t501rn/0A20757xd4ts+8HAdnMn1k38iyT3xQAZLNMnX6mewbLZkcgm3Xhs72Oe/+ffwxks5XOVREwdJKLAbLZ55sHirn/c0kFsjmuXS"
    "rWE3eRXglkcwrsZXl/VfxaGZDNxbd4pmB1e9plIJt7+jxBi44rHeEMDAA="
)


def test_what_was_written_before_is_still_read() -> None:
    stored = unpack(base64.b64decode(WRITTEN))
    assert stored.fragment.state.traits["plan"].value == "premium"
    assert stored.fragment.state.signals["purchases"].total == 12


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x01nonsense", b"\xff", b"\x93", b"\x02abc"])
def test_damaged_bytes_are_refused_in_one_way(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        unpack(raw)
