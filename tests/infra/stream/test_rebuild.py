"""A rebuild: what the archive folds to is what Redis serves; whatever is made different is found, named and mended
while events keep coming."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from engine.identifiers import IdentifierType, IdentityRules
from engine.identity import Claim
from engine.ports import Stored
from engine.profile import Fragment
from engine.records import Position, partition_of
from engine.replay import Applied, relate_again, replay
from engine.step import Rules
from infra.archive_homes import Where, by_home
from infra.fragment_bytes import unpack
from infra.link_record import LinkRecord
from infra.processes import RunningServer
from infra.rebuild import ArchiveLacks, Around, Comparison, PartitionFound
from infra.rebuild_fold import alongside, refold, slices
from infra.rebuild_people import compare_people
from infra.redis_store import encode_index
from infra.redis_store_replay import ReplayStore
from infra.topics import index_key
from tests.infra.stream import house as erasure
from tests.infra.stream.bed import RULES, START, Bed, event, id_of
from tests.infra.stream.rebuilding import PARTITIONS, House, key, nothing, spoil, story

ELSEWHERE = 10
ANN = id_of("user_id", "u1")


class Told:
    """Who is told of, by partition."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def __call__(self, _partition: int, ids: Sequence[str]) -> None:
        self.ids += ids


def in_slices(house: House) -> Around:
    return msgspec.structs.replace(house.rebuilding(), rows_per_slice=40, homes_together=3)


def different(found: Sequence[PartitionFound]) -> list[str]:
    return sorted(home for one in found for home in one.different)


async def is_what_was_applied(house: House) -> None:
    """Every fragment is the fold of what archive and tail hold, to the last bit."""
    store = house.rebuilding().store
    waiting = await store.tails(range(PARTITIONS))
    kept = [one for _, history in by_home(house.settings.archive, Where(), waiting) for one in history]
    kept.sort(key=lambda one: (one.position, one.index))
    fragments = replay((one.event for one in kept), RULES)
    held = await store.fragments(sorted(fragments))
    assert {home: unpack(raw).fragment for home, raw in held.items()} == fragments


@pytest.mark.parametrize("archived", [0, 2, 4], ids=["nothing archived", "half archived", "all but the last archived"])
async def test_a_replay_equals_what_is_served(house: House, archived: int) -> None:
    await house.live_through(story(1_200, seed=archived), archived)
    found = await Comparison(house.rebuilding()).run(nothing)
    assert [one.equal for one in found] == [True] * PARTITIONS
    assert sum(one.events for one in found) == 1_200
    assert sum(one.fragments for one in found) == 40
    people, claims = await compare_people(house.rebuilding())
    assert people.equal
    assert (people.persons, claims) == (40, [])
    assert people.claims > 40


async def test_partitions_can_be_replayed_alone(house: House) -> None:
    await house.live_through(story(400, seed=1))
    whole = await Comparison(house.rebuilding()).run(nothing)
    alone = [(await Comparison(house.rebuilding(partitions=(p,))).run(nothing))[0] for p in range(PARTITIONS)]
    assert alone == whole


async def test_many_slices_see_what_one_does(house: House) -> None:
    await house.live_through(story(600, seed=2))
    whole = await Comparison(house.rebuilding()).run(nothing)
    assert await Comparison(in_slices(house)).run(nothing) == whole


async def test_planted_differences_are_found_and_named(house: House) -> None:
    await house.live_through(story(600, seed=3))
    wrong, gone, damaged, planted = (id_of("user_id", name) for name in ("u1", "u2", "u3", "nobody"))
    await spoil(house, wrong)
    await house.redis.delete(key(gone))
    await house.redis.set(key(damaged), b"\xff")
    await house.redis.set(key(planted), msgspec.msgpack.encode(Stored(Position(1, 0, 0), START, Fragment(planted))))
    found = await Comparison(house.rebuilding()).run(nothing)
    assert different(found) == sorted([wrong, gone, damaged, planted])
    for one in found:
        mine = {home for home in (wrong, gone, damaged, planted) if partition_of(home, PARTITIONS) == one.partition}
        assert (one.differing, one.equal, one.rebuilt == one.live) == (len(mine), not mine, not mine)


async def test_what_differs_is_replaced_and_told_of(house: House) -> None:
    await house.live_through(story(600, seed=4))
    other = id_of("user_id", "u2")
    await spoil(house, ANN)
    await house.redis.delete(key(other))
    told = Told()
    found = await Comparison(house.rebuilding(), told).run(nothing)
    assert all(one.equal for one in found)
    assert sum(one.replaced for one in found) == 2
    assert sorted(told.ids) == sorted([ANN, other])
    await is_what_was_applied(house)
    assert all(one.equal for one in await Comparison(house.rebuilding()).run(nothing))
    # what was derived from the fragment that was wrong must yield, though it counted as many events
    assert unpack(await house.redis.get(key(ANN))).rebuilt == 1
    view = await house.bed.people.person(ANN)
    before = msgspec.structs.replace(
        view, stored=tuple(msgspec.structs.replace(stored, rebuilt=0) for stored in view.stored)
    )
    assert view.generation > before.generation


async def test_where_everything_is_renewed_what_was_equal_is_replaced_too(house: House) -> None:
    """Features that are computed in another way: the fragments are what they were, and all that follows is new."""
    await house.live_through(story(400, seed=13))
    homes = sorted(id_of("user_id", f"u{n}") for n in range(40))
    before = await house.bed.people.people(homes)
    told = Told()
    found = await Comparison(msgspec.structs.replace(house.rebuilding(), renewing=True), told).run(nothing)
    assert ([one.equal for one in found], sum(one.replaced for one in found)) == ([True] * PARTITIONS, 40)
    assert sorted(told.ids) == homes
    after = await house.bed.people.people(homes)
    assert [view.profile for view in after] == [view.profile for view in before]
    assert all(new.generation > old.generation for new, old in zip(after, before, strict=True))
    assert sum(one.replaced for one in await Comparison(house.rebuilding(), Told()).run(nothing)) == 0


async def test_a_worker_forgets_what_a_rebuild_replaced(house: House) -> None:
    """It has the wrong fragment in its cache and the same watermark: its next batch is refused, and folded again."""
    await house.live_through(story(300, seed=5))
    await spoil(house, ANN)
    partition = partition_of(ANN, PARTITIONS)
    house.stations[partition] = house.station(partition)
    await house.apply([event(user="u1", minute=9_000, messageId="reads the wrong one")])
    await Comparison(house.rebuilding(), Told()).run(nothing)
    await house.apply([event(user="u1", minute=9_001, messageId="builds on the right one")])
    await is_what_was_applied(house)
    assert house.stations[partition].refused == 0
    assert (await house.bed.store.counters(partition))["refused"] == 0
    assert all(one.equal for one in await Comparison(house.rebuilding()).run(nothing))


async def test_a_switch_under_load_keeps_every_event_once(house: House) -> None:
    await house.live_through(story(800, seed=6), archived=2)
    for number in range(0, 40, 2):
        await spoil(house, id_of("user_id", f"u{number}"))
    # workers that have read nothing yet: what they build on is wrong
    house.stations = {partition: house.station(partition) for partition in range(PARTITIONS)}
    more, stop = story(4_000, seed=7), asyncio.Event()

    async def load() -> int:
        for start in range(0, len(more), 10):
            if stop.is_set():
                return start
            await house.apply(more[start : start + 10])
            if start % 500 == 0:
                await house.archiver.round()
        return len(more)

    loading = asyncio.create_task(load())
    told = Told()
    found = await Comparison(in_slices(house), told).run(nothing)
    stop.set()
    applied = await loading
    assert applied > 0
    assert sum(one.replaced for one in found) == len(told.ids) >= 20
    await is_what_was_applied(house)
    kept = by_home(house.settings.archive, Where(), await house.rebuilding().store.tails(range(PARTITIONS)))
    assert sum(len(history) for _, history in kept) == 800 + applied
    assert all(one.equal for one in await Comparison(house.rebuilding()).run(nothing))


async def test_who_changes_while_being_looked_at_is_no_difference(house: House) -> None:
    await house.live_through(story(300, seed=8))
    step = Comparison(house.rebuilding())

    def busy(_done: int, _of: int) -> None:
        pass

    ticking = asyncio.create_task(_tick(house))
    found = await step.run(busy)
    ticking.cancel()
    await asyncio.wait([ticking])
    assert different(found) == []
    assert [one.unsettled for one in found] == [()] * PARTITIONS


async def _tick(house: House) -> None:
    for minute in range(10_000):
        await house.apply([event(user=f"u{minute % 40}", minute=minute, messageId=f"tick-{minute}")])


async def test_somebody_in_another_company_is_named_and_told_apart_again(house: House) -> None:
    await house.live_through(story(400, seed=9))
    email = id_of("email", "u1@example.org")
    key_of = index_key(partition_of(email, PARTITIONS), email)
    await house.redis.set(key_of, encode_index(1, (email,)))
    people, claims = await compare_people(house.rebuilding())
    assert (people.equal, people.differing, people.different) == (False, 1, (email,))
    assert {end for claim in claims for end in (claim.left, claim.right)} >= {ANN, email}
    await house.relate(LinkRecord((), tuple(claims)))
    people, claims = await compare_people(house.rebuilding())
    assert (people.equal, claims) == (True, [])
    assert ANN in house.bed.told


async def test_changed_identity_rules_are_followed_over_the_stored_claims(house: House) -> None:
    """Nobody may have more than one cookie any more: the claims stay, the persons are others."""
    await house.live_through(story(400, seed=10))
    types = {**RULES.identity.types, "anonymous_id": IdentifierType(80, max_per_person=1)}
    strict = Rules(identity=IdentityRules(types=types))
    people, claims = await compare_people(house.rebuilding(strict))
    assert not people.equal
    house.relation = house.bed.relation(rules=strict.identity)
    await house.relate(LinkRecord((), tuple(claims)))
    people, _ = await compare_people(house.rebuilding(strict))
    assert people.equal
    view = await house.bed.people.person(ANN)
    assert sum(known.type == "anonymous_id" for known in view.profile.state.identifiers.values()) == 1


async def test_an_archive_that_lacks_something_rebuilds_nothing(house: House) -> None:
    await house.live_through(story(200, seed=12), archived=4)
    await house.archiver.round()
    elsewhere = msgspec.structs.replace(house.rebuilding(), archive=f"{house.settings.archive}-of-somebody-else")
    told = Told()
    with pytest.raises(ArchiveLacks, match="does not reach it"):
        await Comparison(elsewhere, told).run(nothing)
    assert told.ids == []


def test_slices_leave_nobody_out() -> None:
    for rows, most in ((0, 10), (10, 10), (1_000, 3), (10**9, 10)):
        found = slices(rows, most)
        assert found[0][0] == found[-1][1] == ""
        assert all(high == low for (_, high), (low, _) in pairwise(found))
        bounds = [low for low, _ in found]
        assert bounds == sorted(set(bounds))


def test_homes_only_somebody_else_knows_stand_in_their_order() -> None:
    rows = [("b", None, 1), ("d", None, 1)]
    assert [home for home, *_ in alongside(rows, ["a", "b", "c", "e"])] == ["a", "b", "c", "d", "e"]
    assert [home for home, *_ in alongside([], ["a"])] == ["a"]


def test_an_event_that_cannot_be_folded_is_passed_over_as_in_the_stream() -> None:
    good, bad = event(minute=1), msgspec.structs.replace(event(minute=2), identifiers=None)
    history = [Applied(Position(1, 0, n), 0, START, one) for n, one in enumerate((good, bad))]
    stored = refold(good.home, history, RULES)
    assert stored is not None
    assert (stored.position.offset, stored.fragment.state.count) == (0, 1)
    assert refold(good.home, history[1:], RULES) is None


def test_persons_do_not_depend_on_the_order_of_claims() -> None:
    claims = [
        Claim(f"a{n}", "user_id", f"b{n % 3}", "email", verdict, n, "web", reason)
        for n, (verdict, reason) in enumerate([("positive", "observed")] * 6 + [("negative", "said")] * 3)
    ]
    assert relate_again(claims, RULES.identity) == relate_again(reversed(claims), RULES.identity)


async def test_an_erasure_is_folded_again_as_it_was(bed: Bed, any_redis: RunningServer, tmp_path: Path) -> None:
    """The rows are gone from the archive; what is left folds to the emptied fragments, before and after."""
    erasing = erasure.House(bed, any_redis, tmp_path)
    await erasure.grown(erasing)
    around = Around(erasing.settings.archive, ReplayStore(bed.redis, 1), RULES, (0,), 1)
    await erasing.ask()
    await erasing.relate()
    assert all(one.equal for one in await Comparison(around).run(nothing))
    await erasing.finish()
    await erasing.feed(event(minute=1, messageId="late"), event(minute=90, messageId="a new beginning"))
    for _ in range(2):
        found = await Comparison(around).run(nothing)
        people, claims = await compare_people(around)
        assert [one.different for one in found] == [()]
        assert (people.equal, claims) == (True, [])
        await erasing.finish()
