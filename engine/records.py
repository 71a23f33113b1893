"""What travels and is kept: micro-batch records of the log and the record of a decision, with their byte form.
Knows nothing of brokers or stores."""

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from isal import isal_zlib

from engine.errors import EngineError
from engine.events import OWN_SOURCE, Event
from engine.profile import Contact

RECORD_TYPE = "dev.rapport.events.v1"
MAX_EVENTS = 200
MAX_BYTES = 512 * 1024
# the slower levels save a hundredth more; whatever grows beyond the largest is none of ours
PACKING, LARGEST_DECISION = 1, 64 * 1024 * 1024


class Record(msgspec.Struct, frozen=True, array_like=True):
    """A micro-batch of one partition: at most 200 events and 512 KB. `rules` is the version of the fold's rules."""

    rules: str
    produced: int
    events: tuple[Event, ...]


class Position(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Where in which log: `incarnation` counts the logs this installation has had."""

    incarnation: int
    partition: int
    offset: int


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """One scored candidate as it entered arbitration; `draws` is what each member of an ensemble said of it."""

    action_id: str
    probability: float
    value: float
    weight: float
    lever: float
    explorable: bool
    group: str
    draws: tuple[float, ...] = ()


class DecisionRecord(msgspec.Struct, frozen=True):
    """Every input of a decision and its answer.

    `vectors` is float32 little-endian of shape (candidates, columns) under `spec_hash`; `visible` maps a purpose to the
    encoded `Visible`; `slate` lists (candidate index, propensity, explored); `answer` is what the caller got. `allowed`
    and `settings` are the consent's other half, with the time zones that quiet hours were asked in where numbers gave
    them; `sums` has a check sum of every input (`models.seal`). `arms` says by experiment what the person was dealt;
    `reserved` are the approaches that were promised but not yet made.
    """

    decision_id: str
    at: int
    profile_id: str
    profile_version: str
    placement: str
    context: dict[str, Any]
    segment: str
    limit: int
    visible: dict[str, bytes]
    candidates: tuple[Candidate, ...]
    vectors: bytes
    spec_hash: str
    cross: tuple[tuple[float, float], ...]
    slate: tuple[tuple[int, float, bool], ...]
    blocked: tuple[tuple[str, str, str], ...]
    consent: dict[str, Any]
    consent_hash: str
    seed: int
    model: str
    catalogue: str
    policy: dict[str, Any]
    positions: tuple[Position, ...]
    versions: dict[str, str]
    answer: dict[str, Any]
    allowed: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    sums: bytes = b""
    arms: dict[str, str] = {}
    reserved: tuple[Contact, ...] = ()


_RECORD = msgspec.msgpack.Decoder(Record)
_DECISION = msgspec.msgpack.Decoder(DecisionRecord)
_ENCODER = msgspec.msgpack.Encoder()
# what msgspec raises for bytes that are no msgpack, hold no UTF-8, or nest deeper than the stack
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Unreadable(EngineError):
    """Bytes that are no record of ours."""


def encode(value: Record | DecisionRecord | Any) -> bytes:
    return _ENCODER.encode(value)


def decode_record(data: bytes) -> Record:
    try:
        return _RECORD.decode(data)
    except _MALFORMED as error:
        raise Unreadable("the bytes are not a record of this version") from error


def pack_decision(record: DecisionRecord) -> bytes:
    """A decision as it travels and is kept: a fifth of its plain size, since most rows of its vectors are alike. The
    bytes are ordinary zlib, which ISA-L writes three times as fast as zlib does."""
    return isal_zlib.compress(_ENCODER.encode(record), PACKING)


def decode_decision(data: bytes) -> DecisionRecord:
    """What `pack_decision` made. Raises `Unreadable`."""
    try:
        unpacked = zlib.decompressobj().decompress(data, LARGEST_DECISION)
        return _DECISION.decode(unpacked)
    except (zlib.error, *_MALFORMED) as error:
        raise Unreadable("the bytes are not a decision record of this version") from error


def decision_event(record: DecisionRecord) -> Event:
    """The decision as an event of the profile it was made for."""
    return Event(
        message_id=record.decision_id,
        source=OWN_SOURCE,
        kind="decision",
        name=record.placement,
        at=record.at,
        received=record.at,
        home=record.profile_id,
        identifiers=(),
        properties={"record": pack_decision(record)},
    )


_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


@lru_cache(maxsize=262_144)
def partition_of(home: str, partitions: int) -> int:
    """Kafka's default partitioner: murmur2 of the key, sign cleared, modulo the number of partitions."""
    data = home.encode()
    length = len(data)
    h = 0x9747B28C ^ length
    for start in range(0, length - length % 4, 4):
        k = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    tail = data[length - length % 4 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return ((h ^ (h >> 15)) & 0x7FFFFFFF) % partitions


def split(events: Sequence[Event], sizes: Sequence[int]) -> list[tuple[Event, ...]]:
    """Cut one partition's events into records within the limits; `sizes` are their encoded sizes in bytes."""
    batches: list[list[Event]] = [[]]
    weight = 0
    for event, size in zip(events, sizes, strict=True):
        if batches[-1] and (len(batches[-1]) >= MAX_EVENTS or weight + size > MAX_BYTES):
            batches.append([])
            weight = 0
        batches[-1].append(event)
        weight += size
    return [tuple(batch) for batch in batches if batch]
