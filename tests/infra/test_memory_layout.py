"""How what a person costs lies in our own Redis: hashes in one piece, few keys, index entries in one allocation."""

from collections import Counter

from engine.step import Rules
from infra.bench.lives import life
from infra.bench.memory import Measured, Writer
from infra.config import load
from infra.redis_store import RedisClient
from infra.settings import DEMO_CONFIG

PEOPLE = 30


async def _encodings(redis: RedisClient, family: str) -> Counter[str]:
    keys = [key async for key in redis.scan_iter(match=family, count=1_000)]
    return Counter([(await redis.object("encoding", key)).decode() for key in keys])


async def test_a_person_is_seven_keys_and_no_hash_is_a_table(redis: RedisClient) -> None:
    configuration = load(DEMO_CONFIG)
    rules, measured = Rules(identity=configuration.identity), Measured(redis)
    await Writer(redis, configuration).write([life(rules, number) for number in range(PEOPLE)], measured)
    assert await _encodings(redis, "{p*}f:*") == {"raw": 2 * PEOPLE}
    assert await _encodings(redis, "{p*}i:*") == {"embstr": 3 * PEOPLE}
    assert await _encodings(redis, "{p*}c:*") == {"listpack": PEOPLE}
    assert await _encodings(redis, "*profile_id*rapport") == {"listpack": PEOPLE}
    shared = await _encodings(redis, "{links}g:*")
    assert set(shared) == {"listpack"}
    assert shared["listpack"] <= 3 * PEOPLE
    assert all(count > 0 for count in measured.bytes.values())
