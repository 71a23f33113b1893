"""The floor under a decision: what it costs to read a person, run the rules, ask the model and have the broker's word,
with nothing else around it: no key, no consent, no features, no record. Knows stores; nothing of HTTP."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import lightgbm
import numpy as np
import orjson
from aiokafka import AIOKafkaProducer

from engine.catalog import Facts, parse_catalogue
from infra.kafka_log import bootstrap
from infra.redis_store import connect
from infra.yaml_source import read_yaml

WORLD = "RAPPORT_BENCH_BARE"
FIELDS = 41
Answer = Callable[[bytes], Awaitable[bytes]]
