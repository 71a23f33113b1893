"""A second Redis beside the live one: rebuilt while events come, brought up to it when the workers have stopped, and
then the one that an installation goes on with."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from engine.consent import GRANTED, Statement
from engine.ports import ConsentChange
from engine.records import Record, encode, partition_of
from infra.fragment_bytes import unpack
from infra.processes import RunningServer
from infra.rebuild import Comparison
from infra.rebuild_finish import StillWorking, finish_into
from infra.rebuild_people import compare_people
from infra.rebuild_switch import NotEmpty, write_into
from infra.redis_store import RedisClient, RedisPeople, connect
from infra.redis_store_replay import ReplayStore
from infra.redis_store_stream import PartitionStore
from tests.infra.stream.bed import START, Bed, event, id_of
from tests.infra.stream.rebuilding import PARTITIONS, House, key, nothing, spoil, story
from tests.servers import database

ELSEWHERE = 10
ANN = id_of("user_id", "u1")


async def test_a_rebuilt_installation_goes_on_where_the_live_one_stood(house: House, any_redis: RunningServer) -> None:
    await house.live_through(story(500, seed=11))
    other = connect(database(any_redis.url, ELSEWHERE))
    await other.flushdb()
    target = ReplayStore(other, PARTITIONS)
    written = await write_into(house.rebuilding(), target, nothing)
    people, _ = await compare_people(house.rebuilding())
    assert (written.fragments, written.persons) == (40, people.persons)
    homes = sorted(id_of("user_id", f"u{n}") for n in range(40))
    here, there = await house.bed.people.people(homes), await RedisPeople(other, PARTITIONS).people(homes)
    assert [view.stored for view in there] == [view.stored for view in here]
    assert [view.members for view in there] == [view.members for view in here]
    marks = [await PartitionStore(other).watermark(p) for p in range(PARTITIONS)]
    assert marks == [await house.bed.store.watermark(p) for p in range(PARTITIONS)]
    with pytest.raises(NotEmpty):
        await write_into(house.rebuilding(), target, nothing)
    await other.flushdb()
    await other.aclose()


async def everything(redis: RedisClient) -> dict[bytes, tuple[Any, bool]]:
    """Every key with what it holds and whether it runs out."""
    reading: dict[bytes, Callable[[bytes], Awaitable[Any]]] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"stream": redis.xrange,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
    }
    keys = sorted({key async for key in redis.scan_iter()})
    return {key: (await reading[await redis.type(key)](key), await redis.pttl(key) > 0) for key in keys}


async def test_an_installation_goes_on_with_a_rebuilt_redis(house: House, any_redis: RunningServer) -> None:
    """Rebuilt while events come; then the workers stop, the rest is taken over, and new ones go on there."""
    await house.live_through(story(500, seed=14), archived=2)
    other = connect(database(any_redis.url, ELSEWHERE))
    await other.flushdb()
    target = ReplayStore(other, PARTITIONS)
    with pytest.raises(ValueError, match="nothing was rebuilt"):
        await finish_into(house.rebuilding(), house.redis, other, nothing)
    await write_into(house.rebuilding(), target, nothing)
    yes = Statement(GRANTED, START, "preference page", True, (ANN,))
    await house.bed.consents.write({ANN: ConsentChange({"marketing": yes})})
    await house.live_through(story(300, seed=15), archived=1)
    await house.bed.store.beat("worker")
    with pytest.raises(StillWorking, match="a worker is at work"):
        await finish_into(house.rebuilding(), house.redis, other, nothing)
    await house.redis.delete("rapport:alive:worker")
    await house.redis.set("{p1}d:kept-for-a-while", b"a decision", ex=600)
    written = await finish_into(house.rebuilding(), house.redis, other, nothing)
    assert written.fragments == 40
    assert await everything(other) == await everything(house.redis)
    new = Bed(other, PARTITIONS)
    stations = {p: new.partition(number=p) for p in range(PARTITIONS)}
    more = [event(user=f"u{n}", minute=20_000 + n, messageId=f"more-{n}") for n in range(40)]
    for one in more:
        partition = partition_of(one.home, PARTITIONS)
        offset, house.offsets[partition] = house.offsets[partition], house.offsets[partition] + 1
        for station in (stations[partition], house.stations[partition]):
            await station.take(offset, encode(Record("1", START, (one,))))
    for one in more:
        here, there = await house.bed.people.person(one.home), await new.people.person(one.home)
        assert (there.profile, there.held, there.generation) == (here.profile, here.held, here.generation)
    around = msgspec.structs.replace(house.rebuilding(), store=target)
    assert all(one.equal for one in await Comparison(around).run(nothing))
    await other.flushdb()
    await other.aclose()


async def test_what_was_wrong_is_not_taken_over(house: House, any_redis: RunningServer) -> None:
    await house.live_through(story(300, seed=16))
    other = connect(database(any_redis.url, ELSEWHERE))
    await other.flushdb()
    lost = id_of("user_id", "u2")
    right = unpack(await house.redis.get(key(ANN))).fragment
    await spoil(house, ANN)
    await house.redis.delete(key(lost))
    target = ReplayStore(other, PARTITIONS)
    await write_into(house.rebuilding(), target, nothing)
    await finish_into(house.rebuilding(), house.redis, other, nothing)
    found = {home: unpack(raw) for home, raw in (await target.fragments([ANN, lost])).items()}
    assert (found[ANN].fragment, found[ANN].rebuilt, lost in found) == (right, 1, True)
    await other.flushdb()
    await other.aclose()
