"""Lets partitions work side by side: one task per partition takes its records in order, so that while one partition
waits for Redis another folds, and what came meanwhile is taken together. Knows order and when to let go; nothing of
what a record holds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from infra.stream.shell import give_up

Records = Sequence[tuple[int, bytes]]
TakeAll = Callable[[int, Records], Awaitable[None]]
# read ahead per partition: enough small records to make one batch worth its round trips
AHEAD = 32
# a batch is about as large as one full record, so that one script never holds Redis up for long
TOGETHER_BYTES = 64 * 1024


class Lanes:
    """The lanes of one station. What is in them was not applied yet: Redis says where a partition goes on, not what
    the stream has handed over, so dropping a lane loses nothing."""

    def __init__(self, station: str, take_all: TakeAll) -> None:
        self._station = station
        self._take_all = take_all
        self._queues: dict[int, asyncio.Queue[tuple[int, bytes]]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def put(self, partition: int, offset: int, value: bytes) -> None:
        """Hand a record to its lane; waits while the lane is full."""
        queue = self._queues.get(partition)
        if queue is None:
            queue = self._queues[partition] = asyncio.Queue(AHEAD)
            self._tasks[partition] = asyncio.create_task(self._run(partition, queue))
        await queue.put((offset, value))

    async def _run(self, partition: int, queue: asyncio.Queue[tuple[int, bytes]]) -> None:
        while True:
            records = [await queue.get()]
            size = len(records[0][1])
            while size < TOGETHER_BYTES and not queue.empty():
                records.append(queue.get_nowait())
                size += len(records[-1][1])
            try:
                # whoever waited to put something in while this lane was let go puts it in now
                if self._queues.get(partition) is queue:
                    await self._take_all(partition, records)
            # the one broad catch of this loop: a record that failed must end the process, not be passed over
            except Exception as error:  # noqa: BLE001
                give_up(self._station, error)
            for _ in records:
                queue.task_done()

    async def let_go(self, within_s: float) -> None:
        """Drop what waits and let each lane finish what it is at; later than that the compare-and-set decides."""
        queues, tasks = list(self._queues.values()), list(self._tasks.values())
        self._queues, self._tasks = {}, {}
        for queue in queues:
            while not queue.empty():
                queue.get_nowait()
                queue.task_done()
        waits = [asyncio.create_task(queue.join()) for queue in queues]
        if waits:
            await asyncio.wait(waits, timeout=within_s)
        for task in (*waits, *tasks):
            task.cancel()
