"""The floor under a decision: what it costs to read a person, run the rules, ask the model and have the broker's word,
with nothing else around it: no key, no consent, no features, no record. Knows stores; nothing of HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import lightgbm
import numpy as np
import orjson
from aiokafka import AIOKafkaProducer

from engine.rules import Facts
from infra.config import load
from infra.kafka_log import bootstrap
from infra.model_store import ModelStore
from infra.redis_store import connect
from infra.settings import Settings
from models.scorer import MODEL_FILE

TOPIC = "bare-events"
PERSON, FEATURES, WIDTH = "bare:person", "bare:features", 41
TRAITS = {"plan": "plus", "country": "US", "tenure_months": 12, "monthly_bill": 40}
SIGNALS = {"events_total": 12.0, "contacts_30d": 1.0}
Answer = Callable[[bytes], Awaitable[bytes]]


class Bare:
    """A decision with nothing around it."""

    def __init__(self, settings: Settings, redis: Any, producer: AIOKafkaProducer) -> None:
        self._redis = redis
        self._producer = producer
        self._topic, self._partitions = f"{settings.prefix}{TOPIC}", settings.partitions
        catalogue = load(settings.config_dir).catalogue
        self._rules = {p: [catalogue.rules[a.id] for a in catalogue.placed(p)] for p in catalogue.placements}
        store = ModelStore(settings.models_dir)
        self._booster = lightgbm.Booster(model_str=store.files(str(store.champion()))[MODEL_FILE].decode())
        most = max(len(rules) for rules in self._rules.values())
        self._rows = np.random.default_rng(1).random((most, self._booster.num_feature())).astype(np.float32)

    async def prepare(self) -> None:
        await self._redis.set(PERSON, orjson.dumps(TRAITS))
        await self._redis.hset(FEATURES, mapping={f"f{n}": b"\x35\x00\x00\x80\x3f" for n in range(WIDTH)})

    async def decide(self, body: bytes) -> bytes:
        """Two round trips to Redis, every rule, one call of the model, one acknowledged record."""
        asked = orjson.loads(body)
        traits = orjson.loads(await self._redis.get(PERSON))
        await self._redis.hgetall(FEATURES)
        facts = Facts(traits, SIGNALS, asked["context"])
        open_to = [rule.holds(facts) for rule in self._rules[asked["placement"]]]
        rows = self._rows[: len(open_to)]
        chances = np.asarray(self._booster.predict(rows, num_threads=1, validate_features=False))
        best = int(np.argmax(np.where(open_to, chances, -1.0)))
        answer = orjson.dumps({"action": best, "probability": float(chances[best]), "all": chances.tolist()})
        await self._producer.send_and_wait(self._topic, answer, partition=best % self._partitions)
        return answer


@asynccontextmanager
async def open_bare(settings: Settings) -> AsyncIterator[Answer]:
    """The bare decision, open until the block ends."""
    redis = connect(settings.redis_url)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap(settings.kafka_url), acks="all", linger_ms=0)
    await producer.start()
    try:
        bare = Bare(settings, redis, producer)
        await bare.prepare()
        yield bare.decide
    finally:
        await producer.stop()
        await redis.aclose()
