"""What a million people cost in Redis, part by part: lives are folded by the stream's own step and written as the
stations write them, and after each part the server is asked how much it holds."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.consent import GRANTED, Held, Statement, resolve, reveal
from engine.identity import Person, components, grouped, with_claims
from engine.ports import ConsentChange
from engine.profile import merge
from engine.records import Position, Record, encode, partition_of
from engine.statement import applied
from engine.step import Rules
from features.compute import profile_values
from infra.bench.bed import Place, empty
from infra.bench.figures import Row, Say, Target
from infra.bench.lives import BEGAN, EVENTS_EACH, Life, life
from infra.config import Configuration, load
from infra.embedded import free_port, start_redis
from infra.fragment_bytes import pack
from infra.redis_store_consent import ConsentKeys
from infra.redis_store_features import ProfileRow, RedisFeatures
from infra.redis_store_links import LinkCommit, LinkMark, LinkStore
from infra.settings import DEMO_CONFIG
from infra.topics import fragment_key, tail_key

GIB = 1 << 30
MOST = Target(2.6, most=True)
PARTITIONS = 8
TOGETHER = 500
WAITING = 20_000
FAMILIES = ("fragments", "identity index", "verdicts", "consent", "feature rows")


class Measured:
    """Bytes by family, as the server counts them."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self.bytes = dict.fromkeys(FAMILIES, 0)

    async def used(self) -> int:
        return int((await self._redis.info("memory"))["used_memory"])

    @contextlib.asynccontextmanager
    async def part(self, family: str) -> AsyncIterator[None]:
        before = await self.used()
        yield
        self.bytes[family] += await self.used() - before


class Writer:
    """Writes lives as the stations do, each family for itself."""

    def __init__(self, redis: Any, configuration: Configuration) -> None:
        self._redis = redis
        self._configuration = configuration
        self._links = LinkStore(redis, PARTITIONS)
        self._features = RedisFeatures(redis, "")
        self._consents = ConsentKeys(redis, PARTITIONS)
        self._mark = LinkMark(Position(0, 0, -1), 0)

    async def write(self, lives: Sequence[Life], measured: Measured) -> None:
        async with measured.part("fragments"):
            await self._fragments(lives)
        edges = with_claims({}, [claim for one in lives for claim in one.claims])
        persons, _ = components(edges, self._configuration.identity)
        async with measured.part("verdicts"):
            await self._verdicts(grouped(edges))
        async with measured.part("identity index"):
            await self._links.publish(persons, self._mark.version)
        async with measured.part("consent"):
            await self._consent(persons)
        stored = {identity: s.fragment for one in lives for identity, s in one.stored.items()}
        async with measured.part("feature rows"):
            await self._features.write_profiles([self._row(person, stored) for person in persons])

    async def _fragments(self, lives: Sequence[Life]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for one in lives:
            for identity, stored in one.stored.items():
                pipe.set(fragment_key(partition_of(identity, PARTITIONS), identity), pack(stored))
        await pipe.execute()

    async def _verdicts(self, groups: dict[str, Any]) -> None:
        after = LinkMark(Position(1, 0, self._mark.position.offset + 1), self._mark.version + 1)
        members = {i: g for g, edges in groups.items() for e in edges for i in (e.left, e.right)}
        await self._links.commit(LinkCommit(self._mark, after, groups, members, (), {}, b"\x90"))
        await self._links.trim_tail(after.position)
        self._mark = after

    async def _consent(self, persons: Sequence[Person]) -> None:
        """Everybody said yes to one purpose under the identifier they signed in with."""
        said = [(p, Statement(GRANTED, BEGAN, "preferences", True, p.members, "v1")) for p in persons]
        states = {
            person.profile_id: msgspec.structs.replace(
                applied(Held(), ConsentChange({"personalization": statement})), version=number + 1
            )
            for number, (person, statement) in enumerate(said)
        }
        await self._consents.settle(states, {})

    def _row(self, person: Person, stored: dict[str, Any]) -> ProfileRow:
        purposes = self._configuration.purposes
        profile = merge([stored[m] for m in person.members if m in stored], person.members)
        visible = reveal(profile, resolve({}, purposes, "US"), tuple(purposes.purposes), purposes)
        values = np.asarray(profile_values(visible, BEGAN), dtype=np.float32)
        return ProfileRow(person.profile_id, (1, 1, EVENTS_EACH), BEGAN, values)


@contextlib.asynccontextmanager
async def scratch(place: Place) -> AsyncIterator[Any]:
    """A Redis with nothing in it: the one that was named, or one of our own."""
    if place.redis_url:
        async with empty(place.redis_url) as redis:
            yield redis
        return
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as home:
        server = await start_redis(free_port(), Path(home))
        try:
            async with empty(server.url) as redis:
                # the figure is about memory; an append-only file of it would only keep the disk busy
                await redis.config_set("appendonly", "no")
                yield redis
        finally:
            await server.stop()


async def run(place: Place, say: Say, _config: Path) -> list[Row]:
    """GiB per million people, by part and together, and what waits for the archive beside it."""
    people = 20_000 if place.quick else 200_000
    configuration = load(DEMO_CONFIG)
    rules = Rules(identity=configuration.identity)
    async with scratch(place) as redis:
        measured = Measured(redis)
        began = await measured.used()
        writer = Writer(redis, configuration)
        for start in range(0, people, TOGETHER):
            say(f"memory: {start:,} of {people:,} people")
            await writer.write([life(rules, number) for number in range(start, start + TOGETHER)], measured)
        together = await measured.used() - began
        waiting = await _waiting(redis, rules, measured)
    rows = [_row(family, count, people) for family, count in measured.bytes.items()]
    rows[0] = msgspec.structs.replace(rows[0], note=_inside(rules))
    whole = msgspec.structs.replace(_row("everything", together, people), target=MOST)
    tail = Row("memory", f"tail: {WAITING:,} events not yet archived", waiting / (1 << 20), "MiB", note="for a moment")
    return [*rows, whole, tail]


def _row(name: str, count: int, people: int) -> Row:
    return Row(
        "memory", name, count / people * 1_000_000 / GIB, "GiB/million", note=f"{count / people:,.0f} bytes each"
    )


async def _waiting(redis: Any, rules: Rules, measured: Measured) -> int:
    """Bytes that applied records take until the archiver has them."""
    before = await measured.used()
    events = [event for number in range(WAITING // EVENTS_EACH) for event in life(rules, number).events]
    for number, start in enumerate(range(0, len(events), 200)):
        raw = encode(Record("1", BEGAN, tuple(events[start : start + 200])))
        await redis.xadd(tail_key(0), {"r": raw, "t": BEGAN}, id=f"1-{number}")
    return await measured.used() - before


def _inside(rules: Rules) -> str:
    """Where the bytes of a person's fragments go, as encoded."""
    sizes: dict[str, int] = {}
    for stored in life(rules, 0).stored.values():
        fragment = stored.fragment
        parts = {name: getattr(fragment.state, name) for name in fragment.state.__struct_fields__}
        for name, value in {**parts, "seen": fragment.seen}.items():
            sizes[name] = sizes.get(name, 0) + len(encode(value))
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:6]
    return "encoded bytes: " + ", ".join(f"{name} {size}" for name, size in largest)
