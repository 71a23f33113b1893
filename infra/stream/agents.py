"""The Faust agents. Each takes a record, hands it to its station and lets Faust commit; whatever goes wrong stays
inside the loop's body, because an exception that leaves it would cost the record."""

import logging
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import faust
import msgspec

from infra.settings import Settings
from infra.stream.assignor import WholeAssignor
from infra.stream.shell import give_up
from infra.stream.transport import Positions, WatermarkTransport, may_commit
from infra.stream.unbroken import Unbroken

Take = Callable[[int, int, bytes], Awaitable[None]]
TakeMany = Callable[[list[bytes]], Awaitable[None]]
BATCH_RECORDS = 64
# less than the half minute that Kubernetes and systemd leave
ENDED_SECONDS = 20.0
PUBLISH = "publish"


def new_app(settings: Settings, role: str, positions: Positions) -> faust.App:
    """A Faust app as every station needs it: raw bytes, no tables, no web server, starting where `positions` says."""
    home = settings.data_dir / "faust" / role
    # Faust makes this directory but not the ones above it
    home.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        f"{settings.prefix}rapport-{role}",
        broker=settings.kafka_url,
        store="memory://",
        value_serializer="raw",
        key_serializer="raw",
        web_enabled=False,
        PartitionAssignor=WholeAssignor,
        topic_partitions=settings.partitions,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6,
        broker_rebalance_timeout=settings.rebalance_seconds,
        broker_heartbeat_interval=1,
        broker_commit_interval=1.0,
        stream_buffer_maxsize=64,
        stream_wait_empty=False,
        worker_redirect_stdouts=False,
        datadir=str(home),
    )
    app.transport = WatermarkTransport(app.conf.broker_consumer, app, positions, _fetching(settings, role))
    app.task()(_plain_logging(settings.log_level))
    app.on_before_shutdown.connect(_end_soon)
    return app


def _fetching(settings: Settings, role: str) -> tuple[int, int]:
    # publishing gathers for a while anyway, so its fetches may linger as long
    wait = max(settings.fetch_wait_ms, settings.publish_ms) if role == PUBLISH else settings.fetch_wait_ms
    return wait, settings.fetch_pause_ms


async def _end_soon(*_: Any, **__: Any) -> None:
    """Faust waits a minute for a broker that is away. What is not done by then is done by whoever goes on."""
    waited = threading.Timer(ENDED_SECONDS, os._exit, (0,))
    waited.daemon = True
    waited.start()


def _plain_logging(level: str) -> Callable[[], Awaitable[None]]:
    """Faust's progress spinner makes every library write debug records, which nobody sees, and leaves it at that."""

    async def restore() -> None:
        logging.getLogger().setLevel(level.upper())

    return restore


class Station(msgspec.Struct, frozen=True):
    """Where an agent takes its records, by name, and what notices those it was not handed."""

    name: str
    take: Take
    unbroken: Unbroken


def one_by_one(app: faust.App, topic: Any, station: Station) -> Any:
    """An agent that hands each record over as (partition, offset, value), in order and without a gap."""
    take, unbroken = station.take, station.unbroken

    async def work(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            try:
                for offset, value in await unbroken.before(message.partition, message.offset):
                    await take(message.partition, offset, value)
                    await may_commit(app, message.tp, offset)
                await take(message.partition, message.offset, event.value or b"")
                unbroken.done(message.partition, message.offset)
            # the one broad catch of this loop: an exception that left it would lose the record
            except Exception as error:  # noqa: BLE001
                give_up(station.name, error)

    return app.agent(topic, name=station.name)(work)


def in_batches(app: faust.App, topic: Any, take: TakeMany, unbroken: Unbroken, within_s: float) -> Any:
    """The agent `publish`, which hands over what came within a moment: derived work that coalesces."""

    async def work(stream: Any) -> None:
        async for events in stream.take_events(BATCH_RECORDS, within=within_s):
            try:
                values: list[bytes] = []
                for event in events:
                    message = event.message
                    for offset, value in await unbroken.before(message.partition, message.offset):
                        values.append(value)
                        await may_commit(app, message.tp, offset)
                    values.append(event.value or b"")
                    unbroken.done(message.partition, message.offset)
                await take([value for value in values if value])
            # the one broad catch of this loop, as above
            except Exception as error:  # noqa: BLE001
                give_up(PUBLISH, error)

    return app.agent(topic, name=PUBLISH)(work)
