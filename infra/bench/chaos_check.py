"""What has to be true when a chaos run is over, counted: what was lost, what was done twice, what is different from a
replay of the log. Reads everything anew from Kafka, Redis and the archive; believes no counter of a process."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.events import Event
from engine.identity import Claim, Person
from engine.ports import PersonView
from engine.profile import LINK_KINDS, Fragment, merge
from engine.records import Position, Unreadable, decode_record
from engine.replay import members_of, relate_again, replay
from engine.step import Rules, Step
from features.views import PROFILE
from infra.archive import iterate, iterate_links
from infra.bench.chaos_client import Clients
from infra.config import load
from infra.feast_layout import encode_version, layout_of
from infra.kafka_log import bootstrap, cluster_id
from infra.redis_store import RedisPeople
from infra.redis_store_links import LinkStore
from infra.redis_store_stream import PartitionStore
from infra.settings import Settings
from infra.topics import EVENTS, fragment_key, topic

READ_TOGETHER, LINK_DIGITS = 500, 16
_CLAIMS = msgspec.msgpack.Decoder(tuple[Claim, ...])
Row = tuple[Position, int]


class Verdict(msgspec.Struct):
    """What is wrong, counted by what it is; and what makes the run count: records that came again, writes refused."""

    lost: Counter[str] = msgspec.field(default_factory=Counter)
    doubled: Counter[str] = msgspec.field(default_factory=Counter)
    different: Counter[str] = msgspec.field(default_factory=Counter)
    accepted: int = 0
    applied: int = 0
    fragments: int = 0
    people: int = 0
    links: int = 0
    redelivered: int = 0
    refused: int = 0

    @property
    def good(self) -> bool:
        return not (+self.lost or +self.doubled or +self.different)


class Logged(msgspec.Struct):
    """The events log, read and folded once more. `reasons` are those of explicit statements about identifiers."""

    rows: dict[Row, Event]
    ends: dict[int, int]
    fragments: dict[str, Fragment]
    claims: set[Claim]
    persons: Mapping[str, Person]

    @property
    def ids(self) -> set[str]:
        return {event.message_id for event in self.rows.values()}

    @property
    def reasons(self) -> set[str]:
        return {str(e.properties.get("reason")) for e in self.rows.values() if e.kind in LINK_KINDS}


class Checker:
    """One installation after everything was worked off; its archiver has emptied the tails and is gone."""

    def __init__(self, settings: Settings, redis: Any) -> None:
        self._settings = settings
        self._redis = redis
        self._store = PartitionStore(redis)
        self._links = LinkStore(redis, settings.partitions)
        self._rules = load(settings.config_dir).identity

    async def judge(self, clients: Clients) -> Verdict:
        """Compare everything with everything."""
        logged = await self._logged()
        verdict = Verdict(accepted=len(clients.accepted), applied=len(logged.rows))
        verdict.lost["acknowledged events"] = len(clients.accepted - logged.ids)
        verdict.lost["acknowledged statements"] = len(clients.stated - logged.reasons)
        await self._kept(logged, verdict)
        await self._folded(logged, verdict)
        await self._linked(logged, verdict)
        for partition in range(self._settings.partitions):
            counted = await self._store.counters(partition)
            verdict.redelivered += counted["skipped"]
            verdict.refused += counted["refused"]
        return verdict

    async def _logged(self) -> Logged:
        incarnation = await self._store.incarnation(await cluster_id(self._settings.kafka_url))
        rows: dict[Row, Event] = {}
        ends: dict[int, int] = {}
        for partition, offset, raw in await _records(self._settings):
            position = Position(incarnation, partition, offset)
            ends[partition] = offset
            rows |= {(position, index): event for index, event in enumerate(_events(raw))}
        claims: list[Claim] = []

        def seen(_event: Event, step: Step) -> None:
            claims.extend(step.claims)

        fragments = replay(rows.values(), Rules(identity=self._rules), seen)
        return Logged(rows, ends, fragments, set(claims), relate_again(claims, self._rules))

    async def _kept(self, logged: Logged, verdict: Verdict) -> None:
        """Archive and tail together hold each record once, as it was logged, in the order it was applied."""
        kept = [((position, index), at, event) for position, index, at, event in iterate(self._settings.archive)]
        for partition in range(self._settings.partitions):
            for entry in await self._store.tail(partition, 1 << 30):
                kept += [((entry.position, i), entry.applied, event) for i, event in enumerate(_events(entry.raw))]
            mark = await self._store.watermark(partition)
            verdict.lost["records"] += max(logged.ends.get(partition, -1) - mark.offset, 0)
        times = Counter(row for row, _, _ in kept)
        verdict.lost["archived events"] = len(logged.rows.keys() - times.keys())
        verdict.doubled["archived events"] = sum(count - 1 for count in times.values())
        verdict.different["archived events"] = sum(logged.rows.get(row) != event for row, _, event in kept)
        before: dict[int, tuple[Row, int]] = {}
        for row, at, _ in kept:
            last, applied = before.get(row[0].partition, (row, at))
            verdict.different["order of the archive"] += last > row or applied > at
            before[row[0].partition] = (row, at)

    async def _folded(self, logged: Logged, verdict: Verdict) -> None:
        """Every fragment is what the log folds to, bit for bit; and, said without the fold, holds each event once.
        A statement about identifiers is no part of a life: its home counts none."""
        once: dict[str, set[tuple[str, str]]] = {}
        for event in logged.rows.values():
            said = once.setdefault(event.home, set())
            if event.kind not in LINK_KINDS:
                said.add((event.source, event.message_id))
        stored = await self._stored()
        verdict.fragments = len(stored)
        for home in once.keys() | stored.keys():
            found, events = stored.get(home, Fragment(home)), once.get(home, set())
            verdict.lost["events of fragments"] += max(len(events) - found.state.count, 0)
            verdict.doubled["events of fragments"] += max(found.state.count - len(events), 0)
            verdict.different["fragments"] += found != logged.fragments.get(home)

    async def _stored(self) -> dict[str, Fragment]:
        found: dict[str, Fragment] = {}
        for partition in range(self._settings.partitions):
            lead = fragment_key(partition, "")
            homes = [key.decode().removeprefix(lead) async for key in self._redis.scan_iter(f"{lead}*", READ_TOGETHER)]
            for some in _parts(sorted(set(homes))):
                found |= {home: one.fragment for home, one in (await self._store.load(partition, some)).items()}
        return found

    async def _linked(self, logged: Logged, verdict: Verdict) -> None:
        """Every claim is recorded, and everybody is who the claims say, with the profile the log says."""
        recorded = [claim for _, claim in iterate_links(self._settings.archive)]
        recorded += [claim for entry in await self._links.tail(1 << 30) for claim in _CLAIMS.decode(entry.raw)]
        verdict.links = len(logged.claims)
        verdict.lost["links"] = len(logged.claims - set(recorded))
        verdict.different["links"] = len(set(recorded) - logged.claims)
        ids = sorted(logged.fragments.keys() | logged.persons.keys())
        people = RedisPeople(self._redis, self._settings.partitions)
        seen: dict[str, PersonView] = {}
        for some in _parts(ids):
            for identity, view in zip(some, await people.people(some), strict=True):
                members = members_of(logged.persons, identity)
                seen[members[0]] = view
                parts = [logged.fragments[member] for member in members if member in logged.fragments]
                verdict.different["persons"] += view.members != members
                verdict.different["profiles"] += view.profile.state != merge(parts, members).state
        verdict.people = len(seen)
        verdict.different["published rows"] = await self._unpublished(seen)

    async def _unpublished(self, people: Mapping[str, PersonView]) -> int:
        """How many feature rows are not derived from what the profile is now: its consents and its count of events. The
        link version may be a later one, which changed nothing for this person."""
        layout, stale = layout_of(PROFILE, self._settings.prefix), 0
        for profile_id, view in people.items():
            found = await self._redis.hget(layout.key(profile_id), layout.version_field) or b""
            now = encode_version(view.generation)
            stale += view.known and (found[LINK_DIGITS:] != now[LINK_DIGITS:] or found > now)
        return stale


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + READ_TOGETHER] for start in range(0, len(ids), READ_TOGETHER)]


def _events(raw: bytes) -> Sequence[Event]:
    try:
        return decode_record(raw).events
    except Unreadable:
        return ()


async def _records(settings: Settings) -> list[tuple[int, int, bytes]]:
    """Everything the events topic holds as (partition, offset, bytes), in order."""
    name = topic(settings.prefix, EVENTS)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap(settings.kafka_url), auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(name, partition) for partition in range(settings.partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[tuple[int, int, bytes]] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                found += [(message.partition, message.offset, message.value or b"") for message in messages]
        return sorted(found, key=lambda one: one[:2])
    finally:
        await consumer.stop()
