"""A broker that looks through its whole log for every record is asked seldom, and given the time to find them."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from infra.kafka_log import bootstrap, ensure_topics
from infra.kafka_log_pace import LATEST, LONGEST_PAUSE_MS, LONGEST_WAIT_MS, Pace, keep_pace
from infra.processes import RunningServer
from infra.topics import EVENTS, topic

RECORDS, NEW = 4000, 20


def test_the_pause_grows_with_how_long_a_find_takes() -> None:
    pauses = []
    for took in (1.0, 10.0, 1e6):
        pace = Pace(20, 15)
        pace.looked(took, found=True, missed=False)
        pauses.append(pace.pause_ms)
    assert pauses == [15.0, 20.0, LONGEST_PAUSE_MS]


def test_what_the_broker_waited_for_a_record_is_not_what_looking_takes() -> None:
    pace = Pace(100, 15)
    for took in (5.0, 95.0):
        pace.looked(took, found=True, missed=False)
    assert pace.pause_ms == 15.0
    for _ in range(LATEST):
        pace.looked(10.0, found=True, missed=False)
    assert pace.pause_ms == 20.0


def test_nobody_pauses_after_a_look_that_found_nothing() -> None:
    pace = Pace(20, 15)
    pace.looked(10.0, found=True, missed=False)
    pace.looked(20.0, found=False, missed=False)
    assert pace.pause_ms == 0.0


def test_a_look_that_was_cut_short_gets_more_time_and_that_wears_off() -> None:
    pace = Pace(20, 15)
    pace.looked(45.0, found=False, missed=True)
    assert pace.wait_ms == 90.0
    pace.looked(1e6, found=False, missed=True)
    assert pace.wait_ms == LONGEST_WAIT_MS
    for _ in range(500):
        pace.looked(20.0, found=False, missed=False)
    assert pace.wait_ms == 20.0


def test_what_is_missed_beside_something_found_is_just_not_its_turn() -> None:
    pace = Pace(20, 15)
    pace.looked(5.0, found=True, missed=True)
    assert pace.wait_ms == 20.0


async def test_new_records_of_a_long_log_arrive(embedded_broker: RunningServer) -> None:
    """On the embedded broker, which would have found none of them within the first wait."""
    await ensure_topics(embedded_broker.url, "pace-", 1, 1)
    place = TopicPartition(topic("pace-", EVENTS), 0)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap(embedded_broker.url), linger_ms=0)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap(embedded_broker.url), fetch_max_wait_ms=1)
    pace = Pace(1, 5)
    keep_pace(consumer, pace)
    await producer.start()
    await consumer.start()
    try:
        consumer.assign([place])
        for _ in range(RECORDS):
            await producer.send_and_wait(place.topic, b"old", partition=0)
        await consumer.seek_to_end(place)
        arrived = 0
        async with asyncio.timeout(60):
            for _ in range(NEW):
                await producer.send_and_wait(place.topic, b"new", partition=0)
            while arrived < NEW:
                arrived += len((await consumer.getmany(place, timeout_ms=500)).get(place, []))
    finally:
        await consumer.stop()
        await producer.stop()
    assert arrived == NEW
    assert pace.wait_ms > 1.0
