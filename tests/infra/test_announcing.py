"""Who changes their consent does not wait for the broker, and what is to be announced is before the process ends."""

import logging
import time
from collections.abc import Mapping

import msgspec
import pytest

from engine.consent import Held
from engine.ports import PLAIN, Circumstances, ConsentChange
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


class Growing(MemoryConsents):
    """bob became the same person while ann's change was written."""

    async def write(self, changes: Mapping[str, ConsentChange], told: Circumstances = PLAIN) -> dict[str, Held]:
        return {**await super().write(changes, told), "bob": Held()}


async def test_who_was_written_to_as_well_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []

    async def send(_log: KafkaLog, _name: str, value: bytes, _partition: int) -> None:
        sent.append(value)

    monkeypatch.setattr(KafkaLog, "send", send)
    growing = Growing(MemoryState(lambda: 0), MemoryNotices())
    consents = AnnouncedConsents(growing, log_at("kafka://127.0.0.1:1"), topic(PREFIX, CHANGES))
    await consents.write(CHANGE)
    await consents.end()
    assert [msgspec.msgpack.decode(notice) for notice in sent] == [["ann"], ["bob"]]


async def test_a_change_holds_without_the_broker(caplog: pytest.LogCaptureFixture) -> None:
    """A log that was never opened takes nothing."""
    consents = announced(log_at("kafka://127.0.0.1:1"))
    with caplog.at_level(logging.WARNING):
        states = await consents.write(CHANGE)
        await consents.end()
    assert states["ann"].settings["language"] == "en"
    assert "took no notice" in caplog.text
    assert "ann" not in caplog.text.replace("announc", "")
