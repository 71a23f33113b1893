"""Lanes: order within a partition, partitions side by side, what waits taken together, and letting go."""

import asyncio
from collections.abc import Sequence

from infra.stream.lanes import AHEAD, TOGETHER_BYTES, Lanes


class Taken:
    """Keeps what it was given; a partition takes nothing while its gate is closed."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[int]]] = []
        self.gates: dict[int, asyncio.Event] = {}

    async def __call__(self, partition: int, records: Sequence[tuple[int, bytes]]) -> None:
        gate = self.gates.get(partition)
        if gate is not None:
            await gate.wait()
        self.batches.append((partition, [offset for offset, _ in records]))


async def test_what_came_meanwhile_is_taken_together() -> None:
    taken = Taken()
    gate = taken.gates[0] = asyncio.Event()
    lanes = Lanes("test", taken)
    await lanes.put(0, 0, b"x")
    await asyncio.sleep(0)
    for offset in range(1, 5):
        await lanes.put(0, offset, b"x")
    await lanes.put(1, 0, b"y")
    await asyncio.sleep(0.01)
    assert taken.batches == [(1, [0])]
    gate.set()
    await asyncio.sleep(0.01)
    assert taken.batches == [(1, [0]), (0, [0]), (0, [1, 2, 3, 4])]
    await lanes.let_go(1.0)


async def test_full_records_are_taken_one_by_one() -> None:
    taken = Taken()
    gate = taken.gates[0] = asyncio.Event()
    lanes = Lanes("test", taken)
    for offset in range(3):
        await lanes.put(0, offset, b"x" * TOGETHER_BYTES)
    gate.set()
    await asyncio.sleep(0.01)
    assert [offsets for _, offsets in taken.batches] == [[0], [1], [2]]
    await lanes.let_go(1.0)


async def test_letting_go_finishes_what_is_under_way_and_drops_the_rest() -> None:
    taken = Taken()
    gate = taken.gates[0] = asyncio.Event()
    lanes = Lanes("test", taken)
    await lanes.put(0, 0, b"x")
    await asyncio.sleep(0)
    await lanes.put(0, 1, b"x")
    going = asyncio.create_task(lanes.let_go(5.0))
    await asyncio.sleep(0.01)
    assert not going.done()
    gate.set()
    await going
    await lanes.put(0, 7, b"x")
    await asyncio.sleep(0.01)
    assert taken.batches == [(0, [0]), (0, [7])]
    await lanes.let_go(1.0)


async def full() -> tuple[Taken, Lanes, asyncio.Task[None]]:
    """A lane that takes nothing for now, full, with one more record waiting before it."""
    taken = Taken()
    taken.gates[0] = asyncio.Event()
    lanes = Lanes("test", taken)
    await lanes.put(0, 0, b"x")
    await asyncio.sleep(0)
    for offset in range(1, AHEAD + 1):
        await lanes.put(0, offset, b"x")
    waiting = asyncio.create_task(lanes.put(0, AHEAD + 1, b"x"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    return taken, lanes, waiting


async def test_a_full_lane_makes_the_stream_wait() -> None:
    taken, lanes, waiting = await full()
    taken.gates[0].set()
    await asyncio.wait_for(waiting, 5.0)
    await lanes.let_go(1.0)


async def test_what_waits_before_a_full_lane_is_dropped_with_it() -> None:
    taken, lanes, waiting = await full()
    going = asyncio.create_task(lanes.let_go(5.0))
    await asyncio.sleep(0.01)
    taken.gates[0].set()
    await asyncio.gather(waiting, going)
    assert taken.batches == [(0, [0])]
    await lanes.put(0, 1, b"x")
    await asyncio.sleep(0.01)
    assert taken.batches == [(0, [0]), (0, [1])]
    await lanes.let_go(1.0)
