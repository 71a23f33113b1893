"""Lets partitions work side by side: one task per partition takes its records in order, so that while one partition
waits for Redis another folds. Knows order and when to let go; nothing of what a record holds."""

import asyncio
from collections.abc import Awaitable, Callable

from infra.stream.shell import give_up

Take = Callable[[int, int, bytes], Awaitable[None]]
# a record is read ahead per partition, so that its task never waits for the stream; more would only hold memory
AHEAD = 2


class Lanes:
    """The lanes of one station. What is in them was not applied yet: Redis says where a partition goes on, not what
    the stream has handed over, so dropping a lane loses nothing."""

    def __init__(self, station: str, take: Take) -> None:
        self._station = station
        self._take = take
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
            offset, value = await queue.get()
            try:
                await self._take(partition, offset, value)
            # the one broad catch of this loop: a record that failed must end the process, not be passed over
            except Exception as error:  # noqa: BLE001
                give_up(self._station, error)
            queue.task_done()

    async def let_go(self, within_s: float) -> None:
        """Drop what waits and let each lane finish the record it is at; later than that the compare-and-set decides."""
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
