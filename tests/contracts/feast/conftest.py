"""A Feast store with our definitions over each of the Redis servers."""

from collections.abc import AsyncIterator

import pytest
from feast import FeatureStore

from infra.feast_store import open_store
from infra.processes import RunningServer
from infra.redis_store import RedisClient, connect
from infra.redis_store_features import RedisFeatures


@pytest.fixture(scope="module")
def feast(any_redis: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return open_store(tmp_path_factory.mktemp("feast"), any_redis.url)


@pytest.fixture
async def redis(any_redis: RunningServer) -> AsyncIterator[RedisClient]:
    client = connect(any_redis.url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def features(redis: RedisClient) -> RedisFeatures:
    return RedisFeatures(redis)
