"""Published feature rows: which write wins, what a removal leaves behind, and what a lost script or server does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from engine.ports import Unavailable
from features.compute import CrossCounts
from features.views import PROFILE
from infra.embedded import HOST, free_port, redis_answers, redis_executable
from infra.feast_layout import layout_of
from infra.processes import Launch, RunningServer, spawn, until_ready
from infra.redis_store import RedisClient, connect
from infra.redis_store_features import BlockingRows, ProfileRow, RedisFeatures

WIDTH = len(PROFILE.names)


@pytest.fixture
async def redis(any_redis: RunningServer) -> AsyncIterator[RedisClient]:
    client = connect(any_redis.url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def features(redis: RedisClient) -> RedisFeatures:
    return RedisFeatures(redis)


def row(version: tuple[int, ...], value: float, profile_id: str = "p") -> ProfileRow:
    return ProfileRow(profile_id, version, 1_000, np.full(WIDTH, value, dtype=np.float32))


async def stored(features: RedisFeatures, profile_id: str = "p") -> float | None:
    found = await features.read_profile(profile_id)
    return None if found is None else float(found.values[0])


@pytest.mark.parametrize(
    ("later", "wins"),
    [
        ((2, 5, 9), True),
        ((2, 5, 9, 1), True),
        ((2, 5, 8), False),
        ((2, 5, 8, 9), False),
        ((2, 4, 99), False),
        ((1, 99, 99), False),
        ((2, 5, 10), True),
        ((2, 6, 0), True),
        ((3, 0, 0), True),
        ((10, 0, 0), True),
    ],
)
async def test_a_lower_version_never_replaces_a_row(
    features: RedisFeatures, later: tuple[int, ...], wins: bool
) -> None:
    assert await features.write_profiles([row((2, 5, 9), 1.0)]) == 1
    assert await features.write_profiles([row(later, 2.0)]) == int(wins)
    assert await stored(features) == (2.0 if wins else 1.0)


async def test_versions_decide_inside_a_batch_too(features: RedisFeatures) -> None:
    assert await features.write_profiles([row((1, 0, 2), 2.0), row((1, 0, 1), 1.0), row((1, 0, 3), 3.0)]) == 2
    assert await stored(features) == 3.0


async def test_writers_side_by_side_leave_the_highest(features: RedisFeatures) -> None:
    order = np.random.default_rng(3).permutation(40)
    await asyncio.gather(*(features.write_profiles([row((1, 0, int(n)), float(n))]) for n in order))
    assert await stored(features) == 39.0


async def test_a_tombstone_holds_until_a_later_link_version(features: RedisFeatures) -> None:
    await features.write_profiles([row((1, 0, 5), 1.0)])
    assert await features.remove_profile("p", 2)
    assert await features.write_profiles([row((1, 0, 6), 2.0), row((2, 99, 99), 3.0)]) == 0
    assert await stored(features) is None
    assert await features.write_profiles([row((3, 0, 1), 4.0)]) == 1
    assert await stored(features) == 4.0


async def test_a_late_removal_spares_a_newer_row(features: RedisFeatures) -> None:
    await features.write_profiles([row((3, 0, 1), 1.0)])
    assert not await features.remove_profile("p", 2)
    assert await stored(features) == 1.0


async def test_a_tombstone_may_come_first(features: RedisFeatures) -> None:
    assert await features.remove_profile("p", 4)
    assert await features.write_profiles([row((4, 0, 1), 1.0)]) == 0


async def test_many_rows_keep_their_order(features: RedisFeatures) -> None:
    ids = [f"p{n}" for n in range(1_200)]
    assert await features.write_profiles([row((1, 0, 1), float(n), i) for n, i in enumerate(ids)]) == 1_200
    found = await features.read_profiles([*ids, "nobody"])
    assert [float(f.values[0]) if f else None for f in found] == [*map(float, range(1_200)), None]


async def test_nothing_to_write_is_nothing_written(features: RedisFeatures) -> None:
    assert await features.write_profiles([]) == 0
    assert await features.write_cross({}, {}, 1) == 0
    assert await features.cross_counts() == {}


async def test_a_server_that_lost_its_scripts_gets_them_again(features: RedisFeatures, redis: RedisClient) -> None:
    await features.write_profiles([row((1, 0, 1), 1.0)])
    await redis.script_flush()
    assert await features.write_profiles([row((1, 0, 1), 2.0, i) for i in ("a", "b")]) == 2
    await redis.script_flush()
    assert [f.values[0] for f in await features.read_profiles(["a", "b", "p"]) if f] == [2.0, 2.0, 1.0]
    await redis.script_flush()
    assert await features.write_profiles([row((1, 0, 2), 3.0)]) == 1


async def test_earlier_sums_do_not_replace_later_ones(features: RedisFeatures) -> None:
    key = ("offer", "gold")
    assert await features.write_cross({key: CrossCounts(10, 2)}, {}, 2_000) == 1
    assert await features.write_cross({key: CrossCounts(9, 1)}, {}, 1_999) == 0
    assert await features.cross_counts() == {key: (10.0, 2.0)}


async def test_prefixes_keep_installations_apart(redis: RedisClient) -> None:
    ours, theirs = RedisFeatures(redis, "a_"), RedisFeatures(redis, "b_")
    await ours.write_profiles([row((1, 0, 1), 1.0)])
    await ours.write_cross({("offer", ""): CrossCounts(1, 0)}, {}, 1)
    assert await theirs.read_profile("p") is None
    assert await theirs.cross_counts() == {}


async def test_the_blocking_reader_sees_the_same_row(features: RedisFeatures, any_redis: RunningServer) -> None:
    await features.write_profiles([row((1, 0, 1), 5.0)])
    reader = BlockingRows(any_redis.url, layout_of(PROFILE))
    found, expected = reader.read("p"), await features.read_profile("p")
    assert found is not None
    assert expected is not None
    assert found.at == expected.at == 1_000
    np.testing.assert_array_equal(found.values, expected.values)
    assert reader.read("nobody") is None
    reader.close()


async def test_a_server_that_is_gone_is_unavailable() -> None:
    client = connect(f"redis://{HOST}:{free_port()}/0")
    with pytest.raises(Unavailable, match="try again"):
        await RedisFeatures(client).read_profile("p")
    await client.aclose()


async def owns_every_slot(client: RedisClient) -> bool:
    return b"cluster_state:ok" in await client.execute_command("CLUSTER", "INFO")


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RedisClient]:
    """One node that owns every slot and is as strict about slots as many are."""
    port = free_port()
    command = (redis_executable(), "--bind", HOST, "--port", str(port), "--dir", str(tmp_path), "--save", "")
    enabled = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server = spawn(Launch("redis", f"redis://{HOST}:{port}/0", tmp_path, (*command, *enabled)))
    await until_ready(server, lambda: redis_answers(port, server.pid))
    single = connect(server.url)
    await single.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    await until_ready(server, lambda: owns_every_slot(single))
    await single.aclose()
    client = connect(f"redis://{HOST}:{port}?cluster=true")
    yield client
    await client.aclose()
    await server.stop()


async def test_rows_of_many_slots_on_a_cluster(cluster: RedisClient) -> None:
    features, ids = RedisFeatures(cluster), [f"p{n}" for n in range(50)]
    assert await features.write_profiles([row((1, 0, 1), float(n), i) for n, i in enumerate(ids)]) == 50
    assert [float(f.values[0]) for f in await features.read_profiles(ids) if f] == [*map(float, range(50))]
    counts = {(f"offer{n}", "gold"): CrossCounts(n, 0) for n in range(20)}
    assert await features.write_cross(counts, {}, 1) == 20
    assert await features.cross_counts() == {key: (c.impressions, 0.0) for key, c in counts.items()}
    assert await features.remove_profile("p0", 2)
    assert await features.read_profile("p0") is None
