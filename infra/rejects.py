"""Rejected events as an operator sees them: read from their topic, sent again the way they came. What they held lies in
the database where they name somebody. Knows no reason; each reject carries its own."""

import secrets
from collections.abc import Callable, Iterator, Sequence

import msgspec
import orjson

from engine.events import Event
from engine.identifiers import IdentityRules
from engine.named import named_in
from engine.ports import Refused
from engine.records import MAX_BYTES, Position
from infra.kafka_log import KafkaLog, read_topic
from infra.ledger_store import open_database
from infra.ledger_store_rejects import Body, SqlRejectBodies
from infra.settings import Settings
from infra.topics import EVENTS, INBOX, REJECTS, topic

INBOX_LOG = 0
AT_THE_DOOR = Position(INBOX_LOG, -1, -1)


class Reject(msgspec.Struct, frozen=True, array_like=True):
    """One event (or a whole record, index -1) that could not be applied; `event` is its bytes as they came.

    The position's incarnation is 0 for what came through the inbox, else that of the events log. Where it names
    somebody, its bytes are kept in the database under `body`, from where an erasure takes them, and not here.
    """

    position: Position
    index: int
    code: str
    message: str
    event: bytes
    body: str = ""


_REJECTS = msgspec.msgpack.Decoder(list[Reject])
_EVENT = msgspec.msgpack.Decoder(Event)
MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# a reject must fit into a record itself; of what is longer the beginning is kept
LONGEST = MAX_BYTES


def encode_rejects(rejects: Sequence[Reject]) -> Iterator[bytes]:
    """Records of the rejects topic, each small enough for a broker."""
    waiting: list[Reject] = []
    weight = 0
    for reject in rejects:
        kept = msgspec.structs.replace(reject, event=reject.event[:LONGEST])
        size = len(msgspec.msgpack.encode(kept))
        if waiting and weight + size > MAX_BYTES:
            yield msgspec.msgpack.encode(waiting)
            waiting, weight = [], 0
        waiting.append(kept)
        weight += size
    if waiting:
        yield msgspec.msgpack.encode(waiting)


def decode_rejects(value: bytes) -> list[Reject]:
    try:
        return _REJECTS.decode(value)
    except MALFORMED:
        return []


class Bodies:
    """Takes what names somebody out of rejects before they go where nothing can be taken back."""

    def __init__(
        self, kept: SqlRejectBodies, secret: bytes, rules: Callable[[], IdentityRules], clock: Callable[[], int]
    ) -> None:
        self._kept = kept
        self._secret = secret
        self._rules = rules
        self._clock = clock

    async def taken_out(self, rejects: Sequence[Reject]) -> list[Reject]:
        """The same rejects, safe for the topic. Raises `Unavailable`."""
        named = [(reject, self.named(reject)) for reject in rejects]
        bodies = [Body(secrets.token_hex(16), ids, reject.event[:LONGEST]) if ids else None for reject, ids in named]
        if waiting := [body for body in bodies if body is not None]:
            await self._kept.keep(waiting, self._clock())
        return [
            reject if body is None else msgspec.structs.replace(reject, event=b"", body=body.id)
            for reject, body in zip(rejects, bodies, strict=True)
        ]

    def named(self, reject: Reject) -> frozenset[str]:
        """The ids of everybody whom a reject names in a place we know; of what cannot be read, none."""
        try:
            if reject.position.incarnation != INBOX_LOG:
                event = _EVENT.decode(reject.event)
                return frozenset({event.home, *(one.id for one in event.identifiers)})
            raw = orjson.loads(reject.event)
        except (*MALFORMED, ValueError, TypeError):
            return frozenset()
        batch = raw.get("batch", [raw]) if isinstance(raw, dict) else raw
        items = batch if isinstance(batch, list) else [raw]
        return frozenset().union(*(named_in(item, self._secret, self._rules()) for item in items))


class KafkaRejects:
    """`engine.ports.Rejects`: what HTTP did not accept joins what the stream could not apply."""

    def __init__(self, sender: KafkaLog, name: str, bodies: Bodies) -> None:
        self._sender = sender
        self._name = name
        self._bodies = bodies

    async def keep(self, refused: Sequence[Refused]) -> None:
        """Returns when the broker has them."""
        rejects = [Reject(AT_THE_DOOR, -1, r.code, r.message, _batch(r)) for r in refused]
        for value in encode_rejects(await self._bodies.taken_out(rejects)):
            await self._sender.send(self._name, value, 0)


def _batch(refused: Refused) -> bytes:
    """As the inbox takes it, so that it can be sent again under its own source."""
    return b'{"source":%s,"batch":[%s]}' % (orjson.dumps(refused.source), refused.event or b"null")


async def list_rejects(settings: Settings, limit: int) -> list[tuple[int, Reject]]:
    """The newest rejects with their running number, newest first."""
    values = await read_topic(settings.kafka_url, topic(settings.prefix, REJECTS))
    everything = [reject for value in values for reject in decode_rejects(value)]
    return list(enumerate(everything))[-limit:][::-1]


async def resend(settings: Settings, number: int, clock: Callable[[], int]) -> bool:
    """Send one rejected event or record again the way it came; False where there is no such number, or what it held
    was erased or is too old."""
    found = dict(await list_rejects(settings, 1 << 30)).get(number)
    if found is None:
        return False
    if found.body:
        kept = await open_bodies(settings).find(found.body)
        if kept is None:
            return False
        found = msgspec.structs.replace(found, event=kept)
    sender = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, clock)
    await sender.start()
    try:
        await _again(sender, settings, found)
    finally:
        await sender.stop()
    return True


def open_bodies(settings: Settings) -> SqlRejectBodies:
    """What this installation's rejects held."""
    return SqlRejectBodies(open_database(settings.database))


async def _again(sender: KafkaLog, settings: Settings, reject: Reject) -> None:
    if reject.position.incarnation == INBOX_LOG:
        await sender.send(topic(settings.prefix, INBOX), reject.event, max(reject.position.partition, 0))
    elif reject.index < 0:
        await sender.send(topic(settings.prefix, EVENTS), reject.event, reject.position.partition)
    else:
        await sender.append_now(_EVENT.decode(reject.event))
