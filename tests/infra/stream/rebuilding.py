"""A whole installation's stations on a real Redis with several partitions and an archive, without Kafka: events go in
by hand, link claims go to identity, and the archiver runs when a test says so."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import msgspec

from engine.events import Event
from engine.records import Position, Record, encode, partition_of
from engine.step import Rules
from infra.archiver import Archiver
from infra.fragment_bytes import unpack
from infra.link_record import LinkRecord
from infra.processes import RunningServer
from infra.rebuild import Around as Rebuilding
from infra.redis_store import connect
from infra.redis_store_replay import ReplayStore
from infra.settings import Settings
from infra.stream.advance import Partition
from infra.topics import fragment_key
from tests.infra.stream.bed import DATABASE, RULES, START, Bed, event
from tests.servers import database

PARTITIONS = 4


class House:
    """Partitions' stations and identity, each a worker's that never dies unless a test makes another."""

    def __init__(self, server: RunningServer, home: Path) -> None:
        self.settings = Settings(redis_url=database(server.url, DATABASE), data_dir=home, partitions=PARTITIONS)
        self.redis = connect(self.settings.redis_url)
        self.bed = Bed(self.redis, PARTITIONS)
        self.stations = {p: self.station(p) for p in range(PARTITIONS)}
        self.relation = self.bed.relation()
        self.archiver = Archiver(self.settings, self.bed.clock)
        self.offsets = dict.fromkeys(range(PARTITIONS), 0)
        self.links = 0
        self._sent: dict[int, Position] = {}

    def station(self, partition: int) -> Partition:
        return self.bed.partition(number=partition)

    def rebuilding(self, rules: Rules = RULES, partitions: Sequence[int] = range(PARTITIONS)) -> Rebuilding:
        store = ReplayStore(self.redis, PARTITIONS)
        return Rebuilding(self.settings.archive, store, rules, tuple(partitions), PARTITIONS)

    async def apply(self, events: Iterable[Event]) -> None:
        """Fold events, one record per partition."""
        batches: dict[int, list[Event]] = {}
        for one in events:
            batches.setdefault(partition_of(one.home, PARTITIONS), []).append(one)
        for partition, batch in batches.items():
            offset, self.offsets[partition] = self.offsets[partition], self.offsets[partition] + 1
            await self.stations[partition].take(offset, encode(Record("1", START, tuple(batch))))

    async def relate(self, record: LinkRecord | None = None) -> None:
        """Record what waits in the outboxes, or a record a test brings."""
        found = []
        for partition in range(PARTITIONS):
            for entry in await self.bed.store.outbox(partition, self._sent.get(partition)):
                found.append((entry.position, entry.claims))
                self._sent[partition] = entry.position
        await self.relation.take(self.links, encode(record or LinkRecord(tuple(found))))
        self.links += 1

    async def live_through(self, events: Sequence[Event], archived: int = 3) -> None:
        """Apply everything in forty records, identity after each tenth; the archiver comes by `archived` times."""
        step = max(len(events) // 40, 1)
        for number, start in enumerate(range(0, len(events), step)):
            await self.apply(events[start : start + step])
            if number % 10 == 9:
                await self.relate()
                if number // 10 < archived:
                    await self.archiver.round()
        await self.relate()

    async def close(self) -> None:
        for station in self.stations.values():
            await station.settle()
        await self.redis.aclose()


def story(count: int, seed: int, people: int = 40) -> list[Event]:
    """Events of some people out of order, some twice, with addresses and cookies that make links."""
    draw = Random(seed)
    made: list[Event] = []
    for number in range(count):
        user, minute = f"u{draw.randrange(people)}", draw.randrange(5_000)
        named = {"email": f"{user}@example.org", "plan": f"p{draw.randrange(5)}"}
        if draw.random() < 0.2:
            cookie = f"{user}-{draw.randrange(3)}"
            made.append(event("identify", user, minute=minute, anonymousId=cookie, traits=named))
        elif made and draw.random() < 0.1:
            made.append(made[draw.randrange(len(made))])
        else:
            spent = {"revenue": draw.randrange(10_000) / 100, "category": "tv"}
            name = draw.choice(("Order Completed", "Product Viewed"))
            made.append(event(user=user, minute=minute, event=name, properties=spent, messageId=f"m{number}"))
    return made


def nothing(_done: int, _of: int) -> None:
    """Nobody watches."""


def key(home: str) -> str:
    return fragment_key(partition_of(home, PARTITIONS), home)


async def spoil(house: House, home: str) -> None:
    """A fragment that lost an event, as it would be after a bug."""
    stored = unpack(await house.redis.get(key(home)))
    state = msgspec.structs.replace(stored.fragment.state, count=stored.fragment.state.count - 1)
    wrong = msgspec.structs.replace(stored, fragment=msgspec.structs.replace(stored.fragment, state=state))
    await house.redis.set(key(home), msgspec.msgpack.encode(wrong))
