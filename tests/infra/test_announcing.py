"""Who changes their consent does not wait for the broker, and what is to be announced is before the process ends."""

import logging
import time

import msgspec
import pytest

from engine.ports import ConsentChange
from infra.announcing import AnnouncedConsents
from infra.kafka_log import KafkaLog, ensure_topics, read_topic
from infra.memory import MemoryState
from infra.memory_ports import MemoryConsents, MemoryNotices
from infra.processes import RunningServer
from infra.topics import CHANGES, topic

PREFIX = "announcing-"
CHANGE = {"ann": ConsentChange(settings={"language": "en"})}


def announced(log: KafkaLog) -> AnnouncedConsents:
    return AnnouncedConsents(MemoryConsents(MemoryState(lambda: 0), MemoryNotices()), log, topic(PREFIX, CHANGES))


def log_at(url: str) -> KafkaLog:
    return KafkaLog(url, PREFIX, 1, lambda: int(time.time() * 1000))


async def test_a_change_is_announced_before_the_process_ends(embedded_broker: RunningServer) -> None:
    await ensure_topics(embedded_broker.url, PREFIX, 1, 1)
    log = log_at(embedded_broker.url)
    await log.start()
    consents = announced(log)
    await consents.write(CHANGE)
    await consents.end()
    await log.stop()
    notices = await read_topic(embedded_broker.url, topic(PREFIX, CHANGES))
    assert [msgspec.msgpack.decode(notice) for notice in notices] == [["ann"]]


async def test_a_change_holds_without_the_broker(caplog: pytest.LogCaptureFixture) -> None:
    """A log that was never opened takes nothing."""
    consents = announced(log_at("kafka://127.0.0.1:1"))
    with caplog.at_level(logging.WARNING):
        states = await consents.write(CHANGE)
        await consents.end()
    assert states["ann"].settings["language"] == "en"
    assert "took no notice" in caplog.text
    assert "ann" not in caplog.text.replace("announc", "")
