"""A Redis that lost its last second: the stations see that it stands before what it had told them, and go back."""

import pytest

from infra.stream.shell import Fatal
from tests.infra.stream.bed import Bed, event, id_of, record


async def _as_it_is(bed: Bed) -> dict[bytes, bytes]:
    return {key: await bed.redis.dump(key) for key in await bed.redis.keys()}


async def _as_it_was(bed: Bed, kept: dict[bytes, bytes]) -> None:
    await bed.redis.flushdb()
    for key, dumped in kept.items():
        await bed.redis.restore(key, 0, dumped)


async def test_a_partition_that_redis_forgot_something_of_ends_its_worker(bed: Bed) -> None:
    station = bed.partition()
    await station.check()
    await station.take(0, record(event(minute=1)))
    kept = await _as_it_is(bed)
    await station.take(1, record(event(minute=2)))
    await station.check()
    await _as_it_was(bed, kept)
    with pytest.raises(Fatal, match="partition 0: Redis forgot"):
        await station.check()
    # another worker, or the next life of this one, reads on where Redis stands
    await bed.partition().take(1, record(event(minute=2)))
    assert (await bed.store.watermark(0)).offset == 1
    assert (await bed.view()).profile.state.count == 2


async def test_a_partition_that_another_worker_moved_on_is_that_ones_business(bed: Bed) -> None:
    station = bed.partition()
    await station.take(0, record(event(minute=1)))
    await bed.partition().take(1, record(event(minute=2)))
    await station.check()
    assert station.refused == 0


async def test_links_that_redis_forgot_end_their_worker(bed: Bed) -> None:
    partition, relation = bed.partition(), bed.relation()
    await relation.check()
    await partition.take(0, record(event("identify", anonymousId="cookie")))
    await relation.take(0, await bed.link_record())
    kept = await _as_it_is(bed)
    await partition.take(1, record(event("identify", anonymousId="other", minute=1)))
    await relation.take(1, await bed.link_record())
    await relation.check()
    await _as_it_was(bed, kept)
    with pytest.raises(Fatal, match="links: Redis forgot"):
        await relation.check()


async def test_an_index_that_went_though_its_links_stayed_is_written_again(bed: Bed) -> None:
    """What follows from a record is written after it, so it may be lost alone: here of the last two records."""
    ann, cookies = id_of("user_id", "ann"), [id_of("anonymous_id", name) for name in ("cookie", "other")]
    partition, relation = bed.partition(), bed.relation()
    bed.runs.seen.add("a run")
    for minute, name in enumerate(("cookie", "other")):
        await partition.take(minute, record(event("identify", anonymousId=name, minute=minute)))
        await relation.take(minute, await bed.link_record())
    version = (await bed.links.mark()).version
    for identity in (ann, *cookies):
        await bed.redis.delete(f"{{p0}}i:{identity}")
    await relation.check()
    assert (await bed.people.person(ann)).members == (ann,)
    bed.told.clear()
    bed.runs.seen.add("another run")
    await relation.check()
    assert set((await bed.people.person(cookies[0])).members) == {ann, *cookies}
    assert set(bed.told) == {ann, *cookies}
    assert (await bed.links.mark()).version == version


async def test_who_meets_the_restart_with_a_record_in_hand_does_what_is_missing_first(bed: Bed) -> None:
    ann, cookie = id_of("user_id", "ann"), id_of("anonymous_id", "cookie")
    partition, relation = bed.partition(), bed.relation()
    await partition.take(0, record(event("identify", anonymousId="cookie")))
    await relation.take(0, await bed.link_record())
    await bed.redis.delete(f"{{p0}}i:{ann}", f"{{p0}}i:{cookie}")
    bed.runs.seen.add("another run")
    await partition.take(1, record(event("identify", user="bob", anonymousId="his", minute=1)))
    await relation.take(1, await bed.link_record())
    assert (await bed.people.person(cookie)).members == (ann, cookie)
    assert (await bed.people.person(id_of("anonymous_id", "his"))).profile_id == id_of("user_id", "bob")
