"""What is kept that follows from a person, looked at from outside: whether anything of it still uses a purpose. Knows
where derived rows are; nothing of who withdrew or when."""

import asyncio
import time

import msgspec

from features.spec import FEATURES
from infra.bench.bed import Bed
from infra.bench.people import identifier
from infra.config import load
from infra.redis_store import connect
from infra.redis_store_features import RedisFeatures
from infra.redis_store_queues import RedisQueues, queue_entries_key

PURPOSE = "personalization"
LONGEST_SECONDS, LOOK_SECONDS = 10.0, 0.05
HIDDEN = [n for n, feature in enumerate(f for f in FEATURES if f.view == "profile") if feature.purpose == PURPOSE]


class Derived:
    """What is kept that follows from a person: the Feast row and the outreach queues."""

    def __init__(self, bed: Bed) -> None:
        self._redis = connect(bed.settings.redis_url)
        self._features = RedisFeatures(self._redis, bed.settings.prefix)
        self._queues = RedisQueues(self._redis)
        configuration = load(bed.settings.config_dir)
        self._rules = configuration.identity
        self._names = list(configuration.catalogue.queues)
        self._purposes = {name: action.purpose for name, action in configuration.catalogue.actions.items()}

    async def gone(self, person: int) -> float:
        """When neither row nor queue uses the purposes any more (seconds of `perf_counter`)."""
        until = time.perf_counter() + LONGEST_SECONDS
        profile_id = identifier(self._rules, person).id
        while await self._there(profile_id):
            if time.perf_counter() > until:
                raise RuntimeError("what was derived was still there after ten seconds")
            await asyncio.sleep(LOOK_SECONDS)
        return time.perf_counter()

    async def _there(self, profile_id: str) -> bool:
        row = await self._features.read_profile(profile_id)
        if row is not None and any(row.values[n] == row.values[n] for n in HIDDEN):
            return True
        pipe = self._redis.pipeline(transaction=False)
        for name in self._names:
            pipe.hget(queue_entries_key(name), profile_id)
        waiting = [msgspec.msgpack.decode(raw) for raw in await pipe.execute() if raw]
        return any(self._purposes[entry["action_id"]] in (PURPOSE, "marketing") for entry in waiting)

    async def close(self) -> None:
        await self._redis.aclose()
