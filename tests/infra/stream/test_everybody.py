"""A policy that was edited: what was published of people to whom nothing happens follows it."""

import math
from pathlib import Path

import msgspec
import pytest

from engine.consent import GRANTED, Statement
from engine.jurisdiction import Controller
from engine.ports import ConsentChange
from features.views import PROFILE
from infra.config import LiveConfiguration
from infra.redis_store_features import RedisFeatures
from infra.settings import DEMO_CONFIG, Settings
from infra.stream.everybody import TOGETHER, Everybody, digest_of_policy
from infra.stream.publish import Publisher
from tests.infra.stream.bed import START, Bed, event, id_of, record

ANN, COOKIE = id_of("user_id", "ann"), id_of("anonymous_id", "cookie")
POLICY = LiveConfiguration(DEMO_CONFIG).current.purposes


def stands() -> bool:
    return True


class Fixed:
    """A configuration that a test edits."""

    def __init__(self) -> None:
        self.current = LiveConfiguration(DEMO_CONFIG).current

    def edit(self, basis: str) -> None:
        purposes = dict(POLICY.purposes)
        purposes["personalization"] = msgspec.structs.replace(purposes["personalization"], basis=basis)
        edited = msgspec.structs.replace(POLICY, purposes=purposes)
        self.current = msgspec.structs.replace(self.current, purposes=edited)


async def test_rows_of_people_to_whom_nothing_happens_follow_the_policy(bed: Bed, tmp_path: Path) -> None:
    configuration, features = Fixed(), RedisFeatures(bed.redis)
    configuration.edit("contract")
    publisher = Publisher(Settings(data_dir=tmp_path, partitions=1), configuration, bed.redis)  # type: ignore[arg-type]
    everybody = Everybody(bed.redis, bed.runs, publisher.derive)
    viewed = event(minute=1, event="Product Viewed", properties={"category": "tv"})
    alone = event(userId=None, anonymousId="cookie")
    told = event("identify", traits={"country": "DE"}, anonymousId="cookie", minute=1)
    await bed.partition().take(0, record(alone, told, viewed))
    await bed.relation().take(0, await bed.link_record())

    async def views() -> float:
        row = await features.read_profile(ANN)
        assert row is not None
        return float(row.values[PROFILE.names.index("product_views_30d")])

    assert await everybody.follow(publisher.policy, (0,), stands) == 2
    assert await views() > 0
    assert await everybody.follow(publisher.policy, (0,), stands) == 0
    configuration.edit("consent")
    assert await everybody.follow(publisher.policy, (), stands) == 0
    assert await views() > 0
    assert await everybody.follow(publisher.policy, (0,), stands) == 2
    assert math.isnan(await views())
    assert await features.read_profile(COOKIE) is None
    # who is published under a newer policy stays so, whatever was said since
    await bed.consents.write({ANN: ConsentChange({"personalization": Statement(GRANTED, START, "page")})})
    configuration.edit("contract")
    assert await everybody.follow(publisher.policy, (0,), stands) == 2
    assert await views() > 0


async def test_whoever_is_stored_is_named_once_and_only_in_the_partitions_asked_for(bed: Bed) -> None:
    """Of partitions 1 and 10 one is the other's beginning."""
    homes = {partition: {f"home{partition}-{n}" for n in range(TOGETHER + 3)} for partition in (1, 10)}
    for partition, names in homes.items():
        await bed.redis.mset({f"{{p{partition}}}f:{name}": b"x" for name in names})
        await bed.redis.set(f"{{p{partition}}}c:home", b"x")
    told: list[str] = []
    batches: list[int] = []

    async def derive(ids: list[str]) -> None:
        told.extend(ids)
        batches.append(len(ids))

    everybody = Everybody(bed.redis, bed.runs, derive)  # type: ignore[arg-type]
    assert await everybody.follow("one", (1,), stands) == TOGETHER + 3
    assert (set(told), len(told)) == (homes[1], len(homes[1]))
    assert max(batches) == TOGETHER
    assert await everybody.follow("one", (1, 10), stands) == TOGETHER + 3
    assert set(told) == homes[1] | homes[10]
    assert await everybody.follow("one", (1, 10), stands) == 0


async def test_where_nobody_was_published_yet_nobody_is_published_twice(bed: Bed) -> None:
    await bed.redis.set("{p0}f:somebody", b"x")
    told: list[object] = []

    async def derive(ids: object) -> None:
        told.append(ids)

    everybody = Everybody(bed.redis, bed.runs, derive)
    await everybody.begin("one", (0,))
    assert await everybody.follow("one", (0,), stands) == 0
    # what is known of a partition stays
    await everybody.begin("another", (0,))
    assert await everybody.follow("another", (0,), stands) == 1


async def test_a_pass_that_was_cut_short_begins_again(bed: Bed) -> None:
    await bed.redis.set("{p0}f:somebody", b"x")

    async def fails(_ids: object) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await Everybody(bed.redis, bed.runs, fails).follow("one", (0,), stands)
    told: list[object] = []

    async def derive(ids: object) -> None:
        told.append(ids)

    assert await Everybody(bed.redis, bed.runs, derive).follow("one", (0,), stands) == 1
    assert told == [["somebody"]]


async def test_a_restart_or_an_edit_meanwhile_makes_it_begin_again(bed: Bed) -> None:
    """A server that began anew gives its keys in another order, so some were never given."""
    await bed.redis.set("{p0}f:somebody", b"x")

    async def derive(_ids: object) -> None:
        bed.runs.seen.add("another run")

    everybody = Everybody(bed.redis, bed.runs, derive)
    assert await everybody.follow("one", (0,), stands) == 1
    assert await everybody.follow("one", (0,), lambda: False) == 1
    assert await everybody.follow("one", (0,), stands) == 1
    assert await everybody.follow("one", (0,), stands) == 0


async def test_an_edit_that_is_taken_back_leaves_nobody_as_it_was_under_it(bed: Bed) -> None:
    await bed.redis.set("{p0}f:somebody", b"x")
    told: list[object] = []

    async def derive(ids: object) -> None:
        if len(told) == 1:
            raise ConnectionError
        told.append(ids)

    everybody = Everybody(bed.redis, bed.runs, derive)
    assert await everybody.follow("one", (0,), stands) == 1
    with pytest.raises(ConnectionError):
        await everybody.follow("another", (0,), stands)
    told.clear()
    assert await everybody.follow("one", (0,), stands) == 1
    # however short it stood: what happened meanwhile was published under it
    await everybody.edited((0,))
    await everybody.edited(())
    told.clear()
    assert await everybody.follow("one", (0,), stands) == 1


def test_who_is_answerable_decides_nothing() -> None:
    named = msgspec.structs.replace(POLICY, controller=Controller(name="Another"))
    assert digest_of_policy(named) == digest_of_policy(POLICY)
    assert digest_of_policy(msgspec.structs.replace(POLICY, other_traits="service")) != digest_of_policy(POLICY)
