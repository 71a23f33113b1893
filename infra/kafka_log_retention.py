"""When the log forgets: reads how long a topic keeps what it holds. Knows brokers' settings; nothing of erasures."""

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from engine.erasure_job import LogEnd
from infra.kafka_log import bootstrap
from infra.topics import ALL_TOPICS, topic

RETENTION, SEGMENT = "retention.ms", "segment.ms"
# how a broker rolls and checks: a record leaves with the last one of its segment, looked for every five minutes
_CHECK_MS = 300_000
FOR_EVER = "the topic has no retention; set retention.ms, or delete the records by hand"
UNKNOWN = "the broker names no retention: the embedded one holds its log in memory until it is restarted"


async def ends(url: str, prefix: str, now: int) -> tuple[LogEnd, ...]:
    """For every topic: when (ms) a record written until `now` is gone, or what that waits for. `links` holds ids and
    the reasons somebody gave, `changes` ids."""
    names = [topic(prefix, name) for name in ALL_TOPICS]
    if not url:
        return tuple(LogEnd(name, None, UNKNOWN) for name in names)
    try:
        settings = await _settings(url, names)
    except (KafkaError, OSError, TimeoutError):
        settings = {}
    return tuple(_end(name, settings.get(name, {}), now) for name in names)


async def _settings(url: str, names: list[str]) -> dict[str, dict[str, str]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap(url))
    await admin.start()
    try:
        answers: list[Any] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n) for n in names])
    finally:
        await admin.close()
    found: dict[str, dict[str, str]] = {}
    for answer in answers:
        for _code, _message, _kind, name, entries in answer.resources:
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _end(name: str, settings: dict[str, str], now: int) -> LogEnd:
    kept = settings.get(RETENTION)
    if kept is None:
        return LogEnd(name, None, UNKNOWN)
    if int(kept) < 0:
        return LogEnd(name, None, FOR_EVER)
    segment = int(settings.get(SEGMENT) or 0)
    return LogEnd(name, now + int(kept) + segment + _CHECK_MS, "retention, and the segment the last record is in")
