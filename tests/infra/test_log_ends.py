"""Where a log ends and what it holds, whatever size its batches have: who believes that too little is there throws the
rest away."""

import asyncio
import itertools
import time

import pytest
from aiokafka import TopicPartition

from infra.kafka_log import KafkaLog, describe_topics, ends_of, ensure_topics, read_between, read_topic, reading
from infra.processes import RunningServer
from infra.topics import CHANGES, topic

_numbers = itertools.count()


async def sent(url: str, together: int) -> tuple[str, list[bytes]]:
    """A new prefix, and so many notices in partition 0 of its changes, handed over at once: they share batches."""
    prefix = f"ends{next(_numbers)}-"
    await ensure_topics(url, prefix, 2)
    log = KafkaLog(url, prefix, 2, lambda: int(time.time() * 1000), 0)
    await log.start()
    values = [f"notice {number}".encode() for number in range(together)]
    await log.send(topic(prefix, CHANGES), b"alone", 0)
    await asyncio.gather(*(log.send(topic(prefix, CHANGES), value, 0) for value in values))
    await log.stop()
    return prefix, [b"alone", *values]


@pytest.mark.parametrize("together", [0, 1, 5, 1500])
async def test_the_last_batch_counts_whole(any_broker: RunningServer, together: int) -> None:
    url = any_broker.url
    prefix, values = await sent(url, together)
    name = topic(prefix, CHANGES)
    async with reading(url) as consumer:
        places = [TopicPartition(name, 0), TopicPartition(name, 1)]
        assert await ends_of(consumer, places) == {places[0]: len(values), places[1]: 0}
    assert await read_topic(url, name) == values
    assert [value for _, value in await read_between(url, name, 0, 1, len(values))] == values[1:]
    assert (name, 2, len(values)) in await describe_topics(url, prefix)
