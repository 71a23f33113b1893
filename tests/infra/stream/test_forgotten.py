"""A Redis that lost its last second: the stations see that it stands before what it had told them, and go back."""

import pytest

from infra.stream.shell import Fatal
from tests.infra.stream.bed import Bed, event, record


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
