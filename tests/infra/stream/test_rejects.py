"""Rejects: small enough for a broker, and sent again the way they came."""

from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from engine.ports import Refused
from engine.records import MAX_BYTES, Position, decode_record, encode
from infra.kafka_log import KafkaLog, bootstrap, describe_topics, ensure_topics, read_topic
from infra.ledger_store_rejects import KEPT_MS, Body
from infra.processes import RunningServer
from infra.rejects import (
    INBOX_LOG,
    LONGEST,
    Bodies,
    KafkaRejects,
    Reject,
    decode_rejects,
    encode_rejects,
    list_rejects,
    open_bodies,
    resend,
)
from infra.settings import Settings
from infra.topics import REJECTS, topic
from tests.infra.stream.bed import RULES, SECRET, START, event, id_of

INBOX = Reject(Position(INBOX_LOG, 1, 5), -1, "not_json", "the inbox takes JSON events", b"{oops")


def test_many_rejects_are_cut_into_records_that_a_broker_takes() -> None:
    rejects = [Reject(Position(1, 0, n), 0, "x", "y", b"z" * 20_000) for n in range(60)]
    values = list(encode_rejects(rejects))
    assert [reject for value in values for reject in decode_rejects(value)] == rejects
    assert len(values) > 1
    assert max(map(len, values)) <= MAX_BYTES + 20_100


def test_of_what_is_too_long_the_beginning_is_kept() -> None:
    (value,) = encode_rejects([Reject(Position(1, 0, 0), -1, "unreadable", "no record", b"z" * 3 * LONGEST)])
    (kept,) = decode_rejects(value)
    assert kept.event == b"z" * LONGEST
    assert decode_rejects(b"nonsense") == []
    assert list(encode_rejects([])) == []


@pytest.fixture
def settings(any_broker: RunningServer, tmp_path: Path) -> Settings:
    return Settings(kafka_url=any_broker.url, prefix=f"r-{uuid4().hex[:8]}-", partitions=2, data_dir=tmp_path)


async def test_a_reject_is_sent_again_the_way_it_came(settings: Settings) -> None:
    await ensure_topics(settings.kafka_url, settings.prefix, settings.partitions)
    refused = event(user="ann")
    unreadable = Reject(Position(1, 1, 7), -1, "unreadable", "no record", b"no record")
    alone = Reject(Position(1, 0, 3), 4, "ValueError", "cannot be folded", encode(refused))
    log = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, lambda: START)
    await log.start()
    for value in encode_rejects([INBOX, unreadable, alone]):
        await log.send(topic(settings.prefix, REJECTS), value, 0)
    await log.stop()
    assert await list_rejects(settings, 2) == [(2, alone), (1, unreadable)]
    assert [await resend(settings, number, lambda: START) for number in (0, 1, 2, 3)] == [True, True, True, False]
    assert await read_topic(settings.kafka_url, topic(settings.prefix, "inbox")) == [INBOX.event]
    short, long = sorted(await read_topic(settings.kafka_url, topic(settings.prefix, "events")), key=len)
    assert short == unreadable.event
    assert decode_record(long).events == (refused,)
    described = await describe_topics(settings.kafka_url, settings.prefix)
    counted = {name.removeprefix(settings.prefix): rows for name, *rows in described}
    assert counted == {"events": [2, 2], "inbox": [2, 1], "links": [1, 0], "changes": [2, 0], "rejects": [1, 1]}


async def test_what_names_somebody_never_reaches_the_topic_and_can_be_erased(settings: Settings) -> None:
    await ensure_topics(settings.kafka_url, settings.prefix, settings.partitions)
    log = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, lambda: START)
    bodies = Bodies(open_bodies(settings), SECRET, lambda: RULES.identity, lambda: START)
    await log.start()
    door = KafkaRejects(log, topic(settings.prefix, REJECTS), bodies)
    lost = b'{"type": "track", "userId": "ann", "traits": {"email": "bob@example.org"}}'
    await door.keep([Refused("web", "missing_event", "no event", lost), Refused("web", "not_an_object", "no", b"3")])
    folded = Reject(Position(1, 0, 3), 4, "ValueError", "cannot be folded", encode(event(user="carl")))
    for value in encode_rejects(await bodies.taken_out([folded])):
        await log.send(topic(settings.prefix, REJECTS), value, 0)
    await log.stop()
    held = b"".join(await read_topic(settings.kafka_url, topic(settings.prefix, REJECTS)))
    assert [name in held for name in (b'"ann"', b"bob@example.org", b"carl", b'"batch":[3]')] == [False] * 3 + [True]
    # named beside Ann, so it goes with Bob as well
    kept = open_bodies(settings)
    assert kept.erase([id_of("user_id", "somebody else")]) == 0
    assert kept.erase([id_of("email", "bob@example.org")]) == 1
    assert kept.erase([id_of("user_id", "ann")]) == 0
    assert [await resend(settings, number, lambda: START) for number in (0, 1, 2)] == [False, True, True]
    (again,) = await read_topic(settings.kafka_url, topic(settings.prefix, "events"))
    assert decode_record(again).events == (event(user="carl"),)


async def test_what_nobody_mended_in_thirty_days_is_dropped(settings: Settings) -> None:
    kept, ann = open_bodies(settings), id_of("user_id", "ann")
    await kept.keep([Body("old", frozenset({ann}), b"old")], START)
    assert await kept.find("old") == b"old"
    await kept.keep([Body("new", frozenset({ann}), b"new")], START + KEPT_MS + 1)
    assert (await kept.find("old"), await kept.find("new"), kept.erase([ann])) == (None, b"new", 1)


async def test_what_the_gateway_appends_carries_cloudevents_headers(settings: Settings) -> None:
    await ensure_topics(settings.kafka_url, settings.prefix, settings.partitions)
    log = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, lambda: START)
    await log.start()
    await log.append([event(user="ann", minute=n) for n in range(450)])
    await log.stop()
    values = await read_topic(settings.kafka_url, topic(settings.prefix, "events"))
    assert [len(decode_record(value).events) for value in values] == [200, 200, 50]
    consumer = AIOKafkaConsumer(
        topic(settings.prefix, "events"), bootstrap_servers=bootstrap(settings.kafka_url), auto_offset_reset="earliest"
    )
    await consumer.start()
    headers = dict((await consumer.getone()).headers)
    await consumer.stop()
    assert headers["ce_type"] == b"dev.rapport.events.v1"
    assert {"ce_id", "ce_source", "ce_specversion", "content-type"} < set(headers)
