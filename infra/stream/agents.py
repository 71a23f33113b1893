"""The Faust agents. Each takes a record, hands it to its station and lets Faust commit; whatever goes wrong stays
inside the loop's body, because an exception that leaves it would cost the record."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust

from infra.stream.shell import give_up

Take = Callable[[int, int, bytes], Awaitable[None]]
TakeMany = Callable[[list[bytes]], Awaitable[None]]
BATCH_RECORDS = 64


def one_by_one(app: faust.App, topic: Any, station: str, take: Take) -> Any:
    """An agent that hands each record over as (partition, offset, value), in order."""

    async def work(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            try:
                await take(message.partition, message.offset, event.value or b"")
            # the one broad catch of this loop: an exception that left it would lose the record
            except Exception as error:  # noqa: BLE001
                give_up(station, error)

    return app.agent(topic, name=station)(work)


def in_batches(app: faust.App, topic: Any, station: str, take: TakeMany, within_s: float) -> Any:
    """An agent that hands over what came within a moment, for derived work that coalesces."""

    async def work(stream: Any) -> None:
        async for values in stream.take(BATCH_RECORDS, within=within_s):
            try:
                await take([value for value in values if value])
            # the one broad catch of this loop, as above
            except Exception as error:  # noqa: BLE001
                give_up(station, error)

    return app.agent(topic, name=station)(work)
