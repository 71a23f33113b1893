"""When two states are the same (law 3): discrete things equal, decayed sums within 1e-9 of the sum of the absolute
weights that went into them."""

from collections.abc import Mapping, Sequence

import msgspec
import pytest

from engine.events import Event
from engine.profile import Fragment, State
from engine.signals import Signal, observe

TOLERANCE = 1e-9


def weights(happened: Sequence[Event]) -> dict[str, int]:
    """The sum of absolute amounts per signal."""
    found: dict[str, int] = {}
    for event in happened:
        for name, amount in observe(event):
            found[name] = found.get(name, 0) + abs(amount)
    return found


def assert_like_signals(left: Mapping[str, Signal], right: Mapping[str, Signal], happened: Sequence[Event]) -> None:
    assert {n: (s.last, s.total) for n, s in left.items()} == {n: (s.last, s.total) for n, s in right.items()}
    for name, weight in weights(happened).items():
        assert left[name].sums == pytest.approx(right[name].sums, rel=0, abs=TOLERANCE * weight)


def assert_like(left: State, right: State, happened: Sequence[Event]) -> None:
    assert msgspec.structs.replace(left, signals={}) == msgspec.structs.replace(right, signals={})
    assert_like_signals(left.signals, right.signals, happened)


def assert_like_fragments(left: Fragment, right: Fragment, happened: Sequence[Event]) -> None:
    assert (left.id, left.seen) == (right.id, right.seen)
    assert_like(left.state, right.state, happened)
