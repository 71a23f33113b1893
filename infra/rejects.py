"""Rejected events as an operator sees them: read from their topic, sent again through the inbox. Knows no reason; each
reject carries its own."""

from collections.abc import Callable

import msgspec
import orjson

from engine.records import Position
from infra.kafka_log import KafkaLog, read_topic
from infra.settings import Settings
from infra.topics import INBOX, REJECTS, topic


class Reject(msgspec.Struct, frozen=True, array_like=True):
    """One event (or a whole record, index -1) that could not be applied; `event` is its bytes as they came."""

    position: Position
    index: int
    code: str
    message: str
    event: bytes


_REJECTS = msgspec.msgpack.Decoder(list[Reject])


def decode_rejects(value: bytes) -> list[Reject]:
    try:
        return _REJECTS.decode(value)
    except msgspec.MsgspecError:
        return []


async def list_rejects(settings: Settings, limit: int) -> list[tuple[int, Reject]]:
    """The newest rejects with their running number, newest first."""
    values = await read_topic(settings.kafka_url, topic(settings.prefix, REJECTS))
    everything = [reject for value in values for reject in decode_rejects(value)]
    return list(enumerate(everything))[-limit:][::-1]


async def resend(settings: Settings, number: int, clock: Callable[[], int]) -> bool:
    """Write one rejected event to the inbox; False where there is no such number."""
    everything = dict(await list_rejects(settings, 1 << 30))
    if number not in everything:
        return False
    sender = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, clock)
    await sender.start()
    try:
        await sender.send(topic(settings.prefix, INBOX), as_json(everything[number].event), 0)
    finally:
        await sender.stop()
    return True


def as_json(event: bytes) -> bytes:
    """What was rejected, as the inbox takes it: JSON as it came, or one of our own events in client shape."""
    try:
        orjson.loads(event)
    except orjson.JSONDecodeError:
        named = ("messageId", "source", "type", "event", "timestamp_ms", "received", "home", "identifiers", "traits")
        values = msgspec.msgpack.decode(event)
        if not isinstance(values, list):
            return orjson.dumps({"batch": []})
        raw = dict(zip((*named, "properties", "context"), values, strict=False))
        kinds = {"user_id": "userId", "anonymous_id": "anonymousId"}
        raw |= {kinds[kind]: value for kind, value, _ in raw.pop("identifiers") if kind in kinds}
        return orjson.dumps({"source": raw.pop("source"), "batch": [raw]})
    return event
