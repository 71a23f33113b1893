"""The byte form of a fragment: what goes in comes out, small ones stay plain, and what was written stays readable."""

import base64
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import Event
from engine.ports import Stored
from engine.profile import Fragment, State, Trait
from engine.records import Position
from infra.fragment_bytes import FIRST, WORTH_IT, pack, plain, unpack
from tests.strategies import events, folded


@given(events(max_size=20), st.integers(0, 3))
def test_what_is_packed_comes_out_the_same(happened: list[Event], rebuilt: int) -> None:
    stored = Stored(Position(1, 2, 3), 4, folded(happened), rebuilt)
    packed = pack(stored)
    assert unpack(packed) == stored
    assert pack(unpack(packed)) == packed
    encoded = msgspec.msgpack.encode(stored)
    assert packed == encoded if len(encoded) < WORTH_IT else packed[:1] == FIRST


def test_plain_bytes_are_read_too() -> None:
    stored = Stored(Position(1, 0, 0), 0, Fragment("x" * 900))
    assert unpack(msgspec.msgpack.encode(stored)) == stored


def uuids(count: int) -> list[str]:
    return [str(UUID(int=number << 64 | number)) for number in range(count)]


@pytest.mark.parametrize("count", [1, 192, 193, 194, 255, 256, 400])
def test_uuids_come_out_as_they_were_however_many(count: int) -> None:
    said = {f"t{number}": Trait(value, number, value) for number, value in enumerate(uuids(count))}
    stored = Stored(Position(1, 0, 0xC1C1), 0, Fragment(uuids(1)[0] * 9, State(count, traits=said)))
    packed = pack(stored)
    assert packed[:1] == FIRST
    assert unpack(packed) == stored
    assert plain(packed) == msgspec.msgpack.encode(stored)


@pytest.mark.parametrize("value", ["0" * 36, str(UUID(int=1)).upper(), str(UUID(int=1))[:-1], f"{UUID(int=1)}0"])
def test_what_only_looks_like_a_uuid_comes_out_as_it_was(value: str) -> None:
    stored = Stored(Position(1, 0, 0), 0, Fragment("x" * 400, State(1, traits={"t": Trait(value, 0xC1, value)})))
    assert unpack(pack(stored)) == stored


# written once; whoever changes the dictionary can no longer read what is in the stores
WRITTEN = (
    "AgCDp7fu889e7ZiyIanQyCStwig3MaM8qzizPHsOL0TyaQbYCUDGpB+NGKrgjYrFwHIGrqEJs/IGiy/KNQA1/hCpzsUVXa6hBTllgG3lBUaO5v"
    "/1HK+NVoAYf32Fg3LQIhysjgeoTv3/rplPq0tAjL/rj2fsx4hwsMqzsR5AtdcD90zk3L0VxPh7oJeZHSkWS8rwG4sciyVlcKWLcw2NQJ5AjUaw"
    "FIaahglzwTEF8zyumITKG2KvYhAOAboDUb8YP0sDAZgB2S8W5RpRYkD+hUW5xpQYULxjUa4JJQaUL1iUa0qJAdUdi3LNKDGgvmBRrjklBjRHLM"
    "q1oMSAdodFuZaUGNCtAUx9BpSY0C8ANIGitAjJAeSY0HBkTmrwRwb1w7Msf/y8lANiR0ysveV/+MhZIJtxsm+LedNa5/9ANtO+e8XeLbPvBwHZ"
    "zJ9ZN/Isk98UAGSzTJ1+pnsGy2ZHIJt14bO9jnv/n38MZLOVzlURMHSSiwGy2eebB4q5/3NJBbI5rl0q1hN3kV4JZHMK7GV5f1X8WhmQzcW3eK"
    "ZgdXvaZSCbe/o8QYuOKx3hDAwA"
)


def test_what_was_written_before_is_still_read() -> None:
    stored = unpack(base64.b64decode(WRITTEN))
    assert stored.fragment.state.traits["plan"].value == "premium"
    assert stored.fragment.state.signals["purchases"].total == 12


@pytest.mark.parametrize(
    "raw", [b"", b"\x01", b"\x01nonsense", b"\xff", b"\x93", b"\x02abc", b"\x02", b"\x02\x00nonsense"]
)
def test_damaged_bytes_are_refused_in_one_way(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        unpack(raw)
