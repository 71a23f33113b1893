"""The app that folds, wired to its stores: which log this is, which partitions are ours and where each goes on."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import faust
import msgspec
from faust.types import TP

from engine.records import partition_of
from engine.step import Rules
from infra.announcing import AnnouncedConsents
from infra.clock import now_ms
from infra.config import LiveConfiguration
from infra.consent_opening import open_consents
from infra.decisions import FoundDecisions
from infra.kafka_log import KafkaLog, cluster_id
from infra.redis_store import RedisDecisions
from infra.redis_store_links import LinkStore
from infra.redis_store_rules import RulesRecord, rules_now
from infra.redis_store_stream import PartitionStore
from infra.rejects import Bodies, Reject, encode_rejects, open_bodies
from infra.settings import Settings
from infra.stream.advance import Outside, Partition
from infra.stream.agents import Station, new_app, one_by_one
from infra.stream.lanes import Lanes
from infra.stream.outbox import OutboxSender
from infra.stream.relate import Around, Relation
from infra.stream.route import Inside, Router
from infra.stream.shell import Fatal, give_up, persist
from infra.stream.unbroken import unbroken_in
from infra.topics import CHANGES, EVENTS, INBOX, LINKS, REJECTS, topic

log = logging.getLogger("rapport.stream")
# below the group's session timeout, so that letting go never costs the membership
LET_GO_SECONDS = 3.0
# so many ids are well below what a broker takes in one message
IDS_PER_NOTICE = 5_000


class Worker:
    """What the agents of one process share: stores, sender, and the stations of its partitions."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.consent_side = open_consents(settings, now_ms)
        self.redis = self.consent_side.redis
        self.configuration = LiveConfiguration(settings.config_dir)
        self.store = PartitionStore(self.redis, settings.decision_ttl_s)
        self.links = LinkStore(self.redis, settings.partitions)
        self.people = self.consent_side.people
        self.consents = self.consent_side.consents
        self.sender = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, now_ms, settings.linger_ms)
        self.announced = AnnouncedConsents(self.consents, self.sender, self.topic(CHANGES))
        self.bodies = Bodies(open_bodies(settings), settings.key(), lambda: self.configuration.current.identity, now_ms)
        self.partitions: dict[int, Partition] = {}
        self.outboxes: dict[int, OutboxSender] = {}
        self.lanes = Lanes("advance", self.advance)
        self.relation: Relation | None = None
        self.read = {name: unbroken_in(settings.kafka_url, self.topic(name)) for name in (EVENTS, LINKS, INBOX)}
        self.incarnation = 0
        self._started: asyncio.Lock = asyncio.Lock()
        self._ready = False

    async def start(self) -> None:
        """Connect and learn which log this is; once per process."""
        async with self._started:
            if not self._ready:
                rules = Rules(identity=self.configuration.current.identity)
                self.sender.rules = rules.version
                await persist(RulesRecord(self.redis).claim, rules_now(rules.identity))
                await persist(self.sender.start)
                await self.consent_side.begin(self.announced.tell)
                self.incarnation = await persist(self._incarnation)
                self._ready = True

    async def _incarnation(self) -> int:
        return await self.store.incarnation(await cluster_id(self.settings.kafka_url))

    def topic(self, name: str) -> str:
        return topic(self.settings.prefix, name)

    @property
    def outside(self) -> Outside:
        return Outside(
            store=self.store,
            people=self.people,
            consents=self.consents,
            rules=Rules(identity=self.configuration.current.identity),
            policy=lambda: self.configuration.current.purposes,
            clock=now_ms,
            reject=self.reject,
            notify=self.notify,
            wake_outbox=self._wake,
            tail_limit=self.settings.tail_limit,
        )

    @property
    def inside(self) -> Inside:
        recent = RedisDecisions(self.redis, self.settings.partitions)
        return Inside(
            secret=self.settings.key(),
            configuration=self.configuration,
            log=self.sender,
            people=self.people,
            consents=self.announced,
            decisions=FoundDecisions(recent, self.settings.archive),
            reject=self.reject,
            clock=now_ms,
            incarnation=lambda: self.incarnation,
        )

    async def positions(self, assigned: Mapping[TP, int | None]) -> Mapping[TP, int]:
        """The next offset to read of every partition whose progress Redis keeps; its last batch is read once more. The
        inbox goes on from what the group committed."""
        await self.start()
        found: dict[TP, int] = {}
        events = {tp.partition for tp in assigned if tp.topic == self.topic(EVENTS)}
        self._assign(events)
        self.read[INBOX].begin({tp.partition: at for tp, at in assigned.items() if tp.topic == self.topic(INBOX)})
        for tp in assigned:
            if tp.topic == self.topic(EVENTS):
                mark = await persist(self.store.watermark, tp.partition)
                mark = msgspec.structs.replace(mark, offset=await persist(self.store.batch_began, tp.partition))
            elif tp.topic == self.topic(LINKS):
                self.relation = Relation(self.incarnation, self._around())
                mark = (await self.relation.resume()).position
            else:
                continue
            found[tp] = max(mark.offset, 0) if mark.incarnation == self.incarnation else 0
        for name in (EVENTS, LINKS):
            self.read[name].restart({tp.partition: at for tp, at in found.items() if tp.topic == self.topic(name)})
        return found

    def _assign(self, events: set[int]) -> None:
        for partition in self.outboxes.keys() - events:
            self.outboxes.pop(partition).stop()
        outside = self.outside
        self.partitions = {p: Partition(p, self.incarnation, outside) for p in events}
        for partition in events - self.outboxes.keys():
            self.outboxes[partition] = OutboxSender(partition, self.store, self._send_links)
        for outbox in self.outboxes.values():
            outbox.wake()

    def _around(self) -> Around:
        return Around(
            links=self.links,
            partitions=self.store,
            rules=self.configuration.current.identity,
            notify=self.notify_people,
            append=self.sender.append,
            lateness_ms=self.settings.lateness_ms,
            spread=self.consents.spread,
            runs=self.consent_side.runs,
        )

    def _wake(self, partition: int) -> None:
        # a record may end after its partition went to another worker, whose sender then sends what waits
        sender = self.outboxes.get(partition)
        if sender is not None:
            sender.wake()

    async def _send_links(self, value: bytes) -> None:
        await self.sender.send(self.topic(LINKS), value, 0)

    async def beat(self) -> None:
        """Once a second say that this worker lives and has partitions to work on, however long it works."""
        while True:
            if self.partitions:
                await persist(self.store.beat, "worker")
            await asyncio.sleep(1.0)

    async def look(self) -> None:
        """Once a second follow the configuration, and look whether Redis still stands where it was left."""
        while True:
            self.configuration.maybe_reload()
            try:
                await self._check()
            except Fatal as error:
                give_up("look", error)
            await asyncio.sleep(1.0)

    async def _check(self) -> None:
        for station in list(self.partitions.values()):
            await station.check()
        if self.relation is not None:
            await self.relation.check()

    async def advance(self, partition: int, records: Sequence[tuple[int, bytes]]) -> None:
        station = self.partitions.get(partition)
        if station is not None:
            await station.take_all(records)

    async def relate(self, _partition: int, offset: int, value: bytes) -> None:
        if self.relation is not None:
            await self.relation.take(offset, value)

    async def reject(self, rejects: Sequence[Reject]) -> None:
        for value in encode_rejects(await self.bodies.taken_out(rejects)):
            await self.sender.send(self.topic(REJECTS), value, 0)

    async def notify(self, partition: int, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), IDS_PER_NOTICE):
            value = msgspec.msgpack.encode(list(ids[start : start + IDS_PER_NOTICE]))
            await self.sender.send(self.topic(CHANGES), value, partition)

    async def notify_people(self, ids: Sequence[str]) -> None:
        """Each to the partition of its id: one publisher writes one person."""
        places: dict[int, list[str]] = {}
        for identity in ids:
            places.setdefault(partition_of(identity, self.settings.partitions), []).append(identity)
        for partition, some in places.items():
            await self.notify(partition, some)


def fold_app(settings: Settings) -> faust.App:
    """The app that folds: agents `advance`, `relate` and `route`."""
    worker = Worker(settings)
    app = new_app(settings, "fold", worker.positions)
    for name, station, take in (
        (EVENTS, "advance", worker.lanes.put),
        (LINKS, "relate", worker.relate),
        (INBOX, "route", Router(worker.inside).take),
    ):
        source = app.topic(worker.topic(name), value_type=bytes, internal=False)
        one_by_one(app, source, Station(station, take, worker.read[name]))
    app.task()(worker.beat)
    app.task()(worker.look)
    app.on_partitions_revoked.connect(_letting_go(worker))
    app.on_before_shutdown.connect(_closing(worker))
    return app


def _letting_go(worker: Worker) -> Any:
    async def let_go(*_: Any, **__: Any) -> None:
        await worker.lanes.let_go(LET_GO_SECONDS)

    return let_go


def _closing(worker: Worker) -> Any:
    async def close(*_: Any, **__: Any) -> None:
        await worker.lanes.let_go(LET_GO_SECONDS)
        for outbox in worker.outboxes.values():
            outbox.stop()
        settling = [asyncio.create_task(partition.settle()) for partition in worker.partitions.values()]
        # a broker that is away hears them from whoever goes on
        await asyncio.wait([*settling, asyncio.create_task(worker.announced.end())], timeout=LET_GO_SECONDS)
        await worker.sender.stop()

    return close
