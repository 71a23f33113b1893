"""The events log on Kafka: groups accepted events by partition into micro-batch records and waits for the
broker's word. Knows the wire and the limits of a record; nothing of what an event means."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from engine.events import Event
from engine.ports import Unavailable
from engine.records import MAX_BYTES, MAX_EVENTS, RECORD_TYPE, partition_of
from infra.kafka_log_pace import Pace, keep_pace
from infra.topics import ALL_TOPICS, EVENTS, partition_counts, topic

ACK_SECONDS = 8.0
# how long a broker may hold a fetch at first: others wait for it on the same connection
LOOK_MS = 20
_ENCODER = msgspec.msgpack.Encoder()


def bootstrap(url: str) -> str:
    """`kafka://host:port` as host:port; several brokers are separated by commas or semicolons."""
    return url.replace("kafka://", "").replace(";", ",")


def headers(kind: str, source: str) -> list[tuple[str, bytes]]:
    """CloudEvents' Kafka binding (binary mode), so that outside clients can read what our topics hold."""
    named = {
        "ce_specversion": "1.0",
        "ce_id": secrets.token_hex(8),
        "ce_source": source,
        "ce_type": kind,
        "content-type": "application/msgpack",
    }
    return [(name, value.encode()) for name, value in named.items()]


async def ensure_topics(url: str, prefix: str, partitions: int, replicas: int = 1) -> None:
    """Create what is missing. An existing topic with another number of partitions is refused."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap(url))
    await admin.start()
    try:
        wanted = {topic(prefix, name): count for name, count in partition_counts(partitions).items()}
        existing = set(await admin.list_topics())
        missing = [NewTopic(name, count, replicas) for name, count in wanted.items() if name not in existing]
        if missing:
            with contextlib.suppress(TopicAlreadyExistsError):
                await admin.create_topics(missing)
        for described in await admin.describe_topics(sorted(wanted)):
            name, count = described["topic"], len(described["partitions"])
            if count and count != wanted[name]:
                raise Unavailable(
                    f"topic {name} has {count} partitions, this installation uses {wanted[name]}; set"
                    " RAPPORT_PARTITIONS to what it was made with, or use another RAPPORT_PREFIX"
                )
    finally:
        await admin.close()


async def cluster_id(url: str) -> str:
    """The id the broker gives itself; another id is another log. Raises `Unavailable`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap(url))
    try:
        await admin.start()
        return str((await admin.describe_cluster())["cluster_id"])
    except KafkaError as error:
        raise Unavailable("the broker does not say which log this is; try again in a moment") from error
    finally:
        await admin.close()


class _Open:
    """A record being filled. `acked` ends with the broker's word on it."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.bytes = 0
        self.timer: asyncio.TimerHandle | None = None
        self.acked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # a caller that went away must not leave an error nobody looked at
        self.acked.add_done_callback(lambda future: future.exception())

    def fits(self, size: int) -> bool:
        return not self.events or (len(self.events) < MAX_EVENTS and self.bytes + size <= MAX_BYTES)


class KafkaLog:
    """`engine.ports.Log` over aiokafka. One open record per partition, sent when full or after the linger."""

    def __init__(self, url: str, prefix: str, partitions: int, clock: Callable[[], int], linger_ms: int = 4) -> None:
        self._url = url
        self._producer: AIOKafkaProducer | None = None
        self._topic = topic(prefix, EVENTS)
        self._partitions = partitions
        self._linger = linger_ms / 1000
        self._clock = clock
        self._open: dict[int, _Open] = {}
        self._sends: set[asyncio.Task[None]] = set()
        # the version of the fold's rules, as whoever opens the log knows it
        self.rules = ""

    @property
    def partitions(self) -> int:
        return self._partitions

    async def start(self) -> None:
        # the producer binds to the running loop, so it is made here and not with the object
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap(self._url),
            acks="all",
            linger_ms=0,
            max_request_size=4 * MAX_BYTES,
            request_timeout_ms=int(ACK_SECONDS * 1000),
        )
        try:
            await self._client.start()
        except KafkaError as error:
            raise Unavailable("the broker does not answer; is its URL right?") from error

    async def stop(self) -> None:
        for partition in list(self._open):
            self._flush(partition)
        await asyncio.gather(*self._sends, return_exceptions=True)
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    @property
    def _client(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise Unavailable("the log is not open")
        return self._producer

    async def append(self, events: Sequence[Event]) -> None:
        """Returns when the broker has acknowledged every record these events went into. Raises `Unavailable`."""
        waits = {self._put(partition_of(e.home, self._partitions), _ENCODER.encode(e)) for e in events}
        await _acknowledged(waits)

    async def append_now(self, *events: Event) -> None:
        homes = [partition_of(event.home, self._partitions) for event in events]
        waits = {self._put(home, _ENCODER.encode(event)) for home, event in zip(homes, events, strict=True)}
        for partition in set(homes):
            self._flush(partition)
        await _acknowledged(waits)

    async def send(self, name: str, value: bytes, partition: int) -> None:
        """One record on any topic, acknowledged. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(ACK_SECONDS):
                named = headers(f"dev.rapport.{name}.v1", "/rapport")
                await self._client.send_and_wait(name, value, partition=partition, headers=named)
        except (KafkaError, TimeoutError, OSError) as error:
            raise Unavailable("the broker did not acknowledge; try again in a moment") from error

    def _put(self, partition: int, data: bytes) -> asyncio.Future[None]:
        record = self._open.get(partition)
        if record is not None and not record.fits(len(data)):
            self._flush(partition)
            record = None
        if record is None:
            record = self._open[partition] = _Open()
            record.timer = asyncio.get_running_loop().call_later(self._linger, self._flush, partition)
        record.events.append(data)
        record.bytes += len(data)
        return record.acked

    def _flush(self, partition: int) -> None:
        record = self._open.pop(partition, None)
        if record is None:
            return
        if record.timer is not None:
            record.timer.cancel()
        task = asyncio.get_running_loop().create_task(self._send(partition, record))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _send(self, partition: int, record: _Open) -> None:
        value = _ENCODER.encode([self.rules, self._clock(), [msgspec.Raw(data) for data in record.events]])
        try:
            async with asyncio.timeout(ACK_SECONDS):
                named = headers(RECORD_TYPE, "/rapport")
                await self._client.send_and_wait(self._topic, value, partition=partition, headers=named)
        except (KafkaError, TimeoutError, OSError) as error:
            problem = Unavailable("the log did not take the events; nothing was accepted, send them again")
            problem.__cause__ = error
            record.acked.set_exception(problem)
        else:
            record.acked.set_result(None)


async def _acknowledged(waits: set[asyncio.Future[None]]) -> None:
    # wait, not gather: a caller that is cancelled must not cancel a record it shares with others
    if waits:
        await asyncio.wait(waits)
    for future in waits:
        future.result()


async def ends_of(consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset after the last record of each partition; the consumer is assigned to look at them. Asked for it, the
    embedded broker names the one after the *first* record of the last batch; a fetch tells the true one."""
    ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
    starts = await consumer.beginning_offsets(places)
    held = [place for place in places if ends[place] > starts[place]]
    consumer.assign(held)
    for place in held:
        consumer.seek(place, ends[place] - 1)
    while unknown := [place for place in held if consumer.highwater(place) is None]:
        await consumer.getmany(*unknown, timeout_ms=1000)
    return ends | {place: max(ends[place], consumer.highwater(place)) for place in held}


async def read_topic(url: str, name: str) -> list[bytes]:
    """Everything a topic holds now, partition by partition."""
    places = (await _places(url, [name]))[name]
    values: list[bytes] = []
    async with reading(url) as consumer:
        ends = await ends_of(consumer, places)
        consumer.assign(places)
        for place in places:
            while await consumer.position(place) < ends[place]:
                batch = await consumer.getmany(place, timeout_ms=1000)
                values += [message.value for message in batch.get(place, []) if message.value]
    return values


async def read_between(url: str, name: str, partition: int, first: int, end: int) -> list[tuple[int, bytes]]:
    """The records of a partition with offsets in [first, end), as (offset, value). Raises `Unavailable`."""
    place = TopicPartition(name, partition)
    found: list[tuple[int, bytes]] = []
    try:
        async with reading(url) as consumer:
            end = min(end, (await ends_of(consumer, [place]))[place])
            consumer.assign([place])
            consumer.seek(place, first)
            while await consumer.position(place) < end:
                batch = await consumer.getmany(place, timeout_ms=1000)
                found += [(message.offset, message.value or b"") for message in batch.get(place, [])]
    except KafkaError as error:
        raise Unavailable("the broker did not let us read; try again in a moment") from error
    return [(offset, value) for offset, value in found if first <= offset < end]


async def describe_topics(url: str, prefix: str) -> list[tuple[str, int, int]]:
    """Our topics as (name, partitions, records)."""
    rows = []
    async with reading(url) as consumer:
        for name, places in (await _places(url, [topic(prefix, n) for n in ALL_TOPICS])).items():
            ends, starts = await ends_of(consumer, places), await consumer.beginning_offsets(places)
            rows.append((name, len(places), sum(ends[p] - starts[p] for p in places)))
    return rows


@contextlib.asynccontextmanager
async def reading(url: str, group: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that looks around, if need be as one of a group that it does not join. It gives the embedded broker,
    which looks through its whole log for every fetch, the time that takes."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap(url),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=LOOK_MS,
    )
    keep_pace(consumer, Pace(LOOK_MS, 0))
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _places(url: str, names: Sequence[str]) -> dict[str, list[TopicPartition]]:
    """The partitions of topics. A consumer knows only those it was assigned, so the broker is asked."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap(url))
    await admin.start()
    try:
        found = {about["topic"]: len(about["partitions"]) for about in await admin.describe_topics(list(names))}
    finally:
        await admin.close()
    return {name: [TopicPartition(name, p) for p in range(found.get(name, 0))] for name in names}
