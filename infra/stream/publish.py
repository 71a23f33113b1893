"""The station that derives: for everybody who changed, the Feast row, the outreach queues and a live notice. All of it
can be done again, and an older version never replaces a newer one."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import faust
import msgspec
import numpy as np
from faust.types import TP

from engine.consent import country_of, next_expiry, resolve, reveal
from engine.ports import People, PersonView, Unavailable
from features.compute import CrossCounts, profile_values
from features.cross import summed
from infra.clock import now_ms
from infra.config import LiveConfiguration
from infra.consent_opening import open_consents
from infra.feast_layout import encode_version, tombstone
from infra.kafka_log import cluster_id
from infra.model_store import ModelStore
from infra.redis_store import FAILURES, RedisNotices, RedisPeople
from infra.redis_store_features import ProfileRow, RedisFeatures
from infra.redis_store_published import PublishedMarks
from infra.redis_store_queues import RedisQueues
from infra.redis_store_stream import PartitionStore
from infra.settings import Settings
from infra.stream.agents import PUBLISH, in_batches, new_app
from infra.stream.everybody import Derive, Everybody, digest_of_policy
from infra.stream.republish import Publish, Republishing
from infra.stream.shell import persist
from infra.stream.unbroken import unbroken_in
from infra.topics import CHANGES, topic
from models.gate import bearing
from models.live import LiveModel
from models.outreach import queue_entries
from models.serving import Setting

log = logging.getLogger("rapport.publish")
_IDS = msgspec.msgpack.Decoder(list[str])
PEOPLE_PER_READ = 200
READS_AT_ONCE = 10
CROSS_SECONDS = 1.0
FOLLOW_SECONDS = 2.0


class Publisher:
    """Coalesces notices, reads the people they name and writes what follows from them."""

    def __init__(
        self,
        settings: Settings,
        configuration: LiveConfiguration,
        redis: Any,
        people: People | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._clock = clock
        self._partitions = settings.partitions
        self._configuration = configuration
        self._people = people or RedisPeople(redis, settings.partitions)
        self._features = RedisFeatures(redis, settings.prefix)
        self._queues = RedisQueues(redis)
        self._notices = RedisNotices(redis)
        self._store = PartitionStore(redis)
        self._model = LiveModel(ModelStore(settings.models_dir))
        self._cross: dict[tuple[str, str], CrossCounts] = {}
        self._lost = self.edits = 0

    async def take(self, values: Sequence[bytes]) -> None:
        """Publish everybody named in these notices."""
        await self.derive(list(dict.fromkeys(identity for value in values for identity in _ids(value))))

    async def derive(self, ids: Sequence[str]) -> None:
        """Publish everybody whom these ids belong to."""
        for start in range(0, len(ids), PEOPLE_PER_READ):
            await self._together(ids[start : start + PEOPLE_PER_READ])

    async def _together(self, ids: Sequence[str]) -> None:
        try:
            await persist(self._publish, ids)
        # whatever cannot be derived for one person must neither stop the others nor come again for ever
        except Exception as error:  # noqa: BLE001
            if len(ids) == 1:
                log.error("profile %s cannot be published: %s", ids[0], type(error).__name__)
                return
            for identity in ids:
                await self._together([identity])

    async def _publish(self, ids: Sequence[str]) -> None:
        views = await self._people.people(ids)
        for identity, view in zip(ids, views, strict=True):
            if view.profile_id != identity:
                await self._forget(identity, view)
        people = {view.profile_id: view for view in views if view.known}
        at = self._clock()
        await self._features.write_profiles([self._row(view, at) for view in people.values()])
        await self._write_queues(list(people.values()), at)
        await self._notices.announce(list(people))

    async def _forget(self, identity: str, view: PersonView) -> None:
        """An id that is no profile's own any more leaves a tombstone, so that no late write brings it back."""
        await self._features.remove_profile(identity, view.link_version)
        place = (tombstone(view.link_version), None)
        queues = self._configuration.current.catalogue.queues
        await asyncio.gather(*(self._queues.write(queue, {identity: place}) for queue in queues))

    def _row(self, view: PersonView, at: int) -> ProfileRow:
        purposes = self._configuration.current.purposes
        profile = view.profile
        consent = resolve(view.held, purposes, country_of(profile), at)
        visible = reveal(profile, consent, bearing(purposes), purposes)
        values = np.asarray(profile_values(visible, at), dtype=np.float32)
        return ProfileRow(view.profile_id, view.generation, at, values, next_expiry(consent))

    async def _write_queues(self, views: Sequence[PersonView], at: int) -> None:
        configuration = self._configuration.current
        setting = Setting(configuration.catalogue, configuration.purposes, self._model.current(), self._cross)
        entries = queue_entries(views, setting, at)
        for queue in configuration.catalogue.queues:
            mine = {entry.profile_id: entry for entry in entries if entry.queue == queue}
            places = {v.profile_id: (encode_version(v.generation), mine.get(v.profile_id)) for v in views}
            await self._queues.write(queue, places)

    async def close_expired(self, derive: Derive) -> None:
        """`derive` everybody of whom a yes has expired since it was last done; of very many, some later."""
        at = self._clock()
        for _ in range(READS_AT_ONCE):
            due = await persist(self._features.ended, at, PEOPLE_PER_READ)
            if not due:
                return
            await persist(self._features.hold_ended, due, at)
            await derive(due)
            # who rests on none any more, and who cannot be published, would be due for ever
            await persist(self._features.drop_ended, due, at)

    @property
    def policy(self) -> str:
        """What stands for the policy that people are published under now."""
        return digest_of_policy(self._configuration.current.purposes)

    def stands(self, edits: int) -> bool:
        """Whether the policy is still the one it was after so many edits."""
        return self.edits == edits

    def anew(self) -> None:
        """The counters across profiles are written once more, though they may not have changed."""
        self._cross = {}
        self._lost += 1

    async def beat(self) -> None:
        """A sign of life every second, however long what is under way takes."""
        while True:
            await persist(self._store.beat, "publisher")
            await asyncio.sleep(CROSS_SECONDS)

    async def run(self) -> None:
        """Once a second: follow the champion and the configuration, and sum the cross-profile counters into Feast."""
        while True:
            await asyncio.sleep(CROSS_SECONDS)
            self._model.refresh()
            lost, purposes = self._lost, self._configuration.current.purposes
            if self._configuration.maybe_reload():
                self.edits += digest_of_policy(purposes) != self.policy
            try:
                rows = await self._sum_cross()
            except (*FAILURES, Unavailable) as error:
                log.warning("cross-profile features wait for a server: %s", type(error).__name__)
            else:
                self._cross = rows if lost == self._lost else {}

    async def _sum_cross(self) -> dict[tuple[str, str], CrossCounts]:
        rows = summed([await self._store.counts(partition) for partition in range(self._partitions)])
        if rows != self._cross:
            actions = self._configuration.current.catalogue.actions
            await self._features.write_cross(rows, actions, self._clock())
        return rows


def publish_app(settings: Settings) -> faust.App:
    """The app that publishes: agent `publish` and its once-a-second work."""
    side = open_consents(settings, now_ms)
    publisher = Publisher(settings, LiveConfiguration(settings.config_dir), side.redis, side.people)
    name = topic(settings.prefix, CHANGES)
    notices = unbroken_in(settings.kafka_url, name)
    publish = Publish(publisher.take, publisher.derive, publisher.anew)
    store = PartitionStore(side.redis)
    number: int | None = None
    republishing = Republishing(publish, notices, PublishedMarks(side.redis), side.runs)

    async def go_on(assigned: Mapping[TP, int | None]) -> Mapping[TP, int]:
        nonlocal number
        if number is None:
            number = await persist(store.incarnation, await persist(cluster_id, settings.kafka_url))
        places = {tp.partition: tp for tp in assigned}
        back = await republishing.begin(number, {tp.partition: at for tp, at in assigned.items()})
        return {places[partition]: offset for partition, offset in back.items()}

    async def begin() -> None:
        await side.begin(republishing.beside)

    async def look() -> None:
        while True:
            await asyncio.sleep(CROSS_SECONDS)
            await republishing.look()
            await publisher.close_expired(republishing.beside)

    async def follow() -> None:
        everybody, before = Everybody(side.redis, side.runs, republishing.beside), publisher.edits
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            mine, now = tuple(republishing.partitions), publisher.edits
            await persist(everybody.begin, publisher.policy, republishing.untouched())
            if now == before:
                # by then every publisher of this machine has read an edit: none writes anybody under what was before
                await persist(everybody.follow, publisher.policy, mine, partial(publisher.stands, now))
            else:
                await persist(everybody.edited, mine)
            before = now

    app = new_app(settings, PUBLISH, go_on)
    source = app.topic(name, value_type=bytes, internal=False)
    in_batches(app, source, republishing.take, notices, settings.publish_ms / 1000)
    for work in (publisher.beat, begin, publisher.run, look, follow):
        app.task()(work)
    return app


def _ids(value: bytes) -> list[str]:
    try:
        return _IDS.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
