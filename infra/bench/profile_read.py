"""How long reading a profile takes when it is made of few or of many fragments: the port's read, merge and gate, beside
the bare read of the same fragments. The people come back, each time under a new anonymous id."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from engine.consent import country_of, resolve, reveal
from engine.events import Event
from engine.identity import Claim, components, with_claims
from engine.ports import Stored
from engine.records import Position, partition_of
from engine.replay import replay
from engine.step import Rules, Step
from infra.bench.bed import Place
from infra.bench.figures import Row, Say, Target, less, percentile
from infra.bench.lives import BEGAN, named
from infra.bench.memory import PARTITIONS, scratch
from infra.bench.people import PAGES, SOURCE
from infra.config import Configuration, load
from infra.fragment_bytes import pack
from infra.redis_store import RedisPeople
from infra.redis_store_links import LinkStore
from infra.settings import DEMO_CONFIG
from infra.topics import fragment_key

FRAGMENTS = (1, 5, 50, 500)
TARGETS = {5: Target(3.0, most=True), 50: Target(15.0, most=True)}
EVENTS_EACH = 10
PEOPLE = 8
READS = 400
FLOOR_IS = "MGET of the same fragments, one per partition in one pipeline"
Members = tuple[str, ...]
Took = tuple[list[float], list[float]]
Reading = Callable[[Members], Awaitable[Any]]


async def run(place: Place, say: Say, _config: Path) -> list[Row]:
    """Rows of p50 and p99 in ms for people of 1, 5, 50 and 500 fragments."""
    configuration = load(DEMO_CONFIG)
    rules = Rules(identity=configuration.identity)
    rows: list[Row] = []
    async with scratch(place) as redis:
        for fragments in FRAGMENTS:
            say(f"profiles: {fragments} fragments")
            people = await _fill(redis, rules, fragments)
            reads = READS // (10 if place.quick else 1) // max(fragments // 100, 1)
            ours = await _timed(_whole(redis, configuration), people, reads)
            floor = await _timed(_bare(redis), people, reads)
            for share in (50, 99):
                rows += _row(fragments, share, ours, floor)
    return rows


def _row(fragments: int, share: int, ours: Took, floor: Took) -> list[Row]:
    target = TARGETS.get(fragments) if share == 99 else None
    name = f"{fragments} fragment{'s' if fragments > 1 else ''}: p{share}"
    return [
        less(
            Row("profiles", f"{name}{clock}", percentile(mine, share), "ms", target=target, beside=FLOOR_IS),
            percentile(bare, share),
        )
        for clock, mine, bare in zip(("", ", processor time"), ours, floor, strict=True)
    ]


async def _timed(read: Reading, people: Sequence[Members], reads: int) -> Took:
    """Milliseconds of each read by the wall's clock, and of this process's processor time; the people in turn."""
    for members in people:
        await read(members)
    took: Took = ([], [])
    for number in range(reads):
        began, busy = time.perf_counter(), time.process_time()
        await read(people[number % len(people)])
        took[0].append((time.perf_counter() - began) * 1000)
        took[1].append((time.process_time() - busy) * 1000)
    return took


def _whole(redis: Any, configuration: Configuration) -> Reading:
    people, purposes = RedisPeople(redis, PARTITIONS), configuration.purposes

    async def read(members: Members) -> Any:
        # asked for by the weakest identifier, as a browser is
        view = await people.person(members[-1])
        profile = view.profile
        consent = resolve(view.held, purposes, country_of(profile))
        return reveal(profile, consent, tuple(purposes.purposes), purposes)

    return read


def _bare(redis: Any) -> Reading:
    async def read(members: Members) -> Any:
        keys: dict[int, list[str]] = defaultdict(list)
        for member in members:
            at = partition_of(member, PARTITIONS)
            keys[at].append(fragment_key(at, member))
        pipe = redis.pipeline(transaction=False)
        for some in keys.values():
            pipe.mget(some)
        return await pipe.execute()

    return read


async def _fill(redis: Any, rules: Rules, fragments: int) -> list[Members]:
    """Write the people; gives each one's members."""
    links, found = LinkStore(redis, PARTITIONS), []
    for number in range(PEOPLE):
        claims: list[Claim] = []
        made = replay(_visits(rules, number, fragments), rules, partial(_claimed, claims))
        persons, _ = components(with_claims({}, claims), rules.identity)
        for identity, fragment in made.items():
            stored = Stored(Position(1, 0, 0), BEGAN, fragment)
            await redis.set(fragment_key(partition_of(identity, PARTITIONS), identity), pack(stored))
        await links.publish(persons, 1)
        found.append(persons[0].members if persons else tuple(made))
    return found


def _claimed(into: list[Claim], _event: Event, step: Step) -> None:
    into.extend(step.claims)


def _visits(rules: Rules, number: int, fragments: int) -> list[Event]:
    """One account and so many anonymous ids less one: ten events under each, and one that links it."""
    user = named(rules.identity, "user_id", f"returning-{fragments}-{number}")
    events = [_event((user,), number, (0, n)) for n in range(EVENTS_EACH)]
    for visit in range(1, fragments):
        cookie = named(rules.identity, "anonymous_id", f"visit-{fragments}-{number}-{visit}")
        events += [_event((cookie,), number, (visit, n)) for n in range(EVENTS_EACH)]
        events.append(_event((user, cookie), number, (visit, EVENTS_EACH)))
    return events


def _event(who: tuple[Any, ...], number: int, place: tuple[int, int]) -> Event:
    visit, n = place
    at = BEGAN + visit * 3_600_000 + n * 1000
    shared: dict[str, Any] = {
        "message_id": f"{number:08x}-0000-4000-8000-{visit:06x}{n:06x}",
        "source": SOURCE,
        "at": at,
        "received": at,
        "home": who[0].id,
        "identifiers": who,
    }
    if n == 4:
        order = {"revenue": 19.9, "currency": "USD", "category": f"c{visit % 7}"}
        return Event(kind="track", name="Order Completed", properties=order, **shared)
    return Event(kind="page", name=PAGES[n % len(PAGES)], properties={"title": "bench"}, **shared)
