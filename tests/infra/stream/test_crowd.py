"""Ten thousand people with planted identifiers, in random order, by four workers: exactly the planted persons come out;
who was linked by mistake and unlinked is who they were."""

import asyncio
import os
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from engine.events import Event
from engine.identity import Claim, components, with_claims
from engine.ports import PersonView, Stored
from engine.profile import Profile, merge
from engine.records import Position, encode, partition_of
from engine.replay import replay
from engine.step import Rules
from infra.bench.planted import Compared, compared, meetings
from infra.bench.town import RULES, Town, town
from infra.link_record import LinkRecord
from infra.processes import RunningServer
from infra.redis_store import connect
from tests.infra.stream.bed import START, Bed, record
from tests.servers import database

DATABASE, PARTITIONS, WORKERS, TOGETHER = 12, 8, 4, 200
SEEDS = (1, 2, 3)
WHOLE = 10_000
# the stations take a hundred times as long as the rules alone
AT_STATIONS = WHOLE if os.environ.get("RAPPORT_HYPOTHESIS") == "thorough" else 600
MISTAKEN = WHOLE // 20


def profiles_of(made: Town) -> dict[str, Profile]:
    """By the rules alone: every person by its profile id."""
    claims: list[Claim] = []
    fragments = replay(made.events, Rules(), lambda _event, step: claims.extend(step.claims))
    persons, _ = components(with_claims({}, claims), RULES)
    members = [person.members for person in persons]
    linked = {member for some in members for member in some}
    members += [(home,) for home in fragments if home not in linked]
    return {some[0]: merge([fragments[m] for m in some if m in fragments], some) for some in members}


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_thousand_people_are_exactly_the_planted_ones(seed: int) -> None:
    """And the 500 who were linked by mistake and unlinked are who they would be had it never happened."""
    made = town(seed, WHOLE, MISTAKEN)
    found = profiles_of(made)
    assert {frozenset(profile.members) for profile in found.values()} == made.people
    assert sum(profile.state.count for profile in found.values()) == sum(e.kind == "page" for e in made.events)
    assert found == profiles_of(town(seed, WHOLE, MISTAKEN, linked=False))


def read_as(made: Town) -> dict[str, PersonView]:
    """By the rules alone: every id of the town as a reader would find it."""
    fragments = replay(made.events, Rules())
    stored = {i: (Stored(Position(1, 0, 0), START, fragment),) for i, fragment in fragments.items()}
    return {
        member: PersonView(members[0], members, 1, tuple(s for m in members for s in stored.get(m, ())), {})
        for members in (profile.members for profile in profiles_of(made).values())
        for member in members
    }


def test_the_bench_sees_whoever_is_not_as_planted() -> None:
    made, never = town(1, 60, 3), town(1, 60, 3, linked=False)
    found, expected = read_as(made), read_as(never)
    assert compared(made, found, expected) == Compared(0, 0, 0)
    assert meetings(made, PARTITIONS) > 0
    one, other = sorted(made.people, key=min)[:2]
    joined = msgspec.structs.replace(found[min(one)], members=tuple(sorted(one | other)))
    assert compared(made, found | dict.fromkeys(one | other, joined), expected) == Compared(2, 1, len(one | other))
    emptied = {i: msgspec.structs.replace(found[i], stored=()) for i in one}
    assert compared(made, found | emptied, expected) == Compared(0, 0, len(one))


@pytest.fixture
async def bed(any_redis: RunningServer) -> AsyncIterator[Bed]:
    redis = connect(database(any_redis.url, DATABASE))
    await redis.flushdb()
    yield Bed(redis, PARTITIONS)
    await redis.flushdb()
    await redis.aclose()


class Stations:
    """Four workers with two partitions each, and the one writer of identity, who hears from them in random order."""

    def __init__(self, bed: Bed, seed: int) -> None:
        self._bed = bed
        self._chance = random.Random(seed)
        self._relation = bed.relation()
        self._links = 0
        self._folding = WORKERS

    async def take(self, events: tuple[Event, ...]) -> None:
        """All events, each partition's in their order; returns when every claim is recorded."""
        waiting: dict[int, list[Event]] = {number: [] for number in range(PARTITIONS)}
        for event in events:
            waiting[partition_of(event.home, PARTITIONS)].append(event)
        mine = [{p: waiting[p] for p in range(worker, PARTITIONS, WORKERS)} for worker in range(WORKERS)]
        await asyncio.gather(*(self._fold(some) for some in mine), self._relate())

    async def _fold(self, waiting: dict[int, list[Event]]) -> None:
        partitions = {number: self._bed.partition(number=number) for number in waiting}
        longest = max(len(events) for events in waiting.values())
        for offset, start in enumerate(range(0, longest, TOGETHER)):
            for number, events in waiting.items():
                if start < len(events):
                    await partitions[number].take(offset, record(*events[start : start + TOGETHER]))
        self._folding -= 1

    async def _relate(self) -> None:
        while self._folding or await self._pass():
            await self._pass()

    async def _pass(self) -> bool:
        """A few outbox entries of some partition; True while there may be more anywhere."""
        moved = False
        for number in self._chance.sample(range(PARTITIONS), PARTITIONS):
            entries = await self._bed.store.outbox(number, count=self._chance.randint(1, 4))
            if entries:
                moved = True
                raw = encode(LinkRecord(tuple((entry.position, entry.claims) for entry in entries)))
                await self._relation.take(self._links, raw)
                self._links += 1
        return moved


async def views_of(bed: Bed, made: Town) -> dict[str, PersonView]:
    """Every id of the town as a reader finds it."""
    found: dict[str, PersonView] = {}
    for start in range(0, len(made.ids), 500):
        some = made.ids[start : start + 500]
        found |= dict(zip(some, await bed.people.people(some), strict=True))
    return found


@pytest.mark.parametrize("seed", SEEDS)
async def test_four_workers_find_the_planted_people(bed: Bed, seed: int) -> None:
    made = town(seed, AT_STATIONS, AT_STATIONS // 20)
    await Stations(bed, seed).take(made.events)
    found = await views_of(bed, made)
    assert {frozenset(view.members) for view in found.values()} == made.people
    never = profiles_of(town(seed, AT_STATIONS, AT_STATIONS // 20, linked=False))
    for view in found.values():
        assert view.profile.state == never[view.profile_id].state
    assert bed.rejected == []
