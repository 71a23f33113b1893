"""Faust's Kafka transport with two changes: a partition starts where Redis says it stands, and fetches come at the pace
that suits the broker. Knows positions, nothing of what is consumed."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, cast

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from infra.kafka_log_pace import Pace, keep_pace

# what the group committed for each assigned partition (None: nothing yet) to where it is to be read from instead
Positions = Callable[[Mapping[TP, int | None]], Awaitable[Mapping[TP, int]]]


class _Thread(driver.AIOKafkaConsumerThread):
    """Faust hard-codes a fetch wait of 1.5 s; brokers that hold a fetch for the full wait would hold our events too."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        wait_ms, pause_ms = cast(WatermarkTransport, self.transport).fetching
        consumer._fetch_max_wait_ms = wait_ms
        if pause_ms:
            keep_pace(consumer, Pace(wait_ms, pause_ms))
        return consumer


class _Consumer(driver.Consumer):
    """Starts each assigned partition at the position the stores give; the group's commits are for lag display only.

    `seek_to_committed` is the one place where this is safe: a seek while the agents run races with Faust's drain loop.
    """

    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        committed = dict(await super().seek_to_committed())
        assigned = {tp: committed.get(tp) for tp in (TP(tp.topic, tp.partition) for tp in self.assignment())}
        wanted = dict(await cast(WatermarkTransport, self.transport).positions(assigned))
        if wanted:
            await self._thread.seek_wait(wanted)
        return {**committed, **wanted}


class WatermarkTransport(driver.Transport):
    """The transport of a worker's app; `positions` answers with the next offset to read per partition, and `fetching`
    is how long (ms) a broker may hold a fetch that found nothing, and how long nobody asks after one that did not: both
    grow as they must, unless the pause is 0."""

    Consumer: ClassVar[type] = _Consumer

    def __init__(self, url: Any, app: Any, positions: Positions, fetching: tuple[int, int]) -> None:
        super().__init__(url, app)
        self.positions = positions
        self.fetching = fetching


async def may_commit(app: faust.App, tp: TP, offset: int) -> None:
    """A record was taken that Faust did not hand over: the group may commit past it."""
    await cast(Any, app.consumer)._add_gap(tp, offset, offset)
