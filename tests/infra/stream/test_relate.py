"""The writer of identity: persons and index from claims, whatever is repeated, lost or taken back."""

import asyncio
from typing import Any

import msgspec
import pytest

from engine.events import Event
from engine.identity import Claim, Person
from engine.records import MAX_BYTES, Position, encode
from infra.link_record import LinkRecord
from infra.redis_store_links import RedisIdentities
from infra.redis_store_stream import OutboxEntry
from infra.stream.outbox import OutboxSender, records
from infra.stream.shell import Fatal
from tests.infra.stream.bed import Bed, event, id_of, record

ANN, BOB = id_of("user_id", "ann"), id_of("user_id", "bob")
COOKIE, MAIL = id_of("anonymous_id", "cookie"), id_of("email", "ann@example.org")


def said(kind: str, left: tuple[str, str], right: tuple[str, str], minute: int = 0) -> Event:
    """An explicit link or unlink, as the routes write it."""
    pair = event(minute=minute, userId=None, context={"externalIds": [{"type": k, "id": v} for k, v in (left, right)]})
    return msgspec.structs.replace(pair, kind=kind, name=kind, message_id=f"{kind}{minute}", properties={"reason": "x"})


class Feeder:
    """Takes records through both stations, each log at its own offsets."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.partition, self.relation = bed.partition(), bed.relation()
        self.events = self.links = 0

    async def __call__(self, *events: Event) -> None:
        await self.partition.take(self.events, record(*events))
        self.events += 1
        if await self.bed.store.outbox(0):
            await self.relation.take(self.links, await self.bed.link_record())
            self.links += 1


async def members(bed: Bed, identity: str) -> tuple[str, ...]:
    return (await bed.people.person(identity)).members


async def test_identifiers_seen_together_are_one_person(bed: Bed) -> None:
    await Feeder(bed)(event("identify", anonymousId="cookie", traits={"email": "ann@example.org"}))
    for identity in (ANN, COOKIE, MAIL):
        view = await bed.people.person(identity)
        assert (view.profile_id, view.members, view.link_version) == (ANN, (ANN, MAIL, COOKIE), 1)
    assert await bed.store.outbox(0) == []
    assert set(bed.told) == {ANN, COOKIE, MAIL}


async def test_unlinking_restores_both_and_tells_both(bed: Bed) -> None:
    feed = Feeder(bed)
    await feed(event(), event(userId=None, anonymousId="cookie", messageId="c"))
    before = [(await bed.people.person(i)).profile.state for i in (ANN, COOKIE)]
    await feed(said("link", ("user_id", "ann"), ("anonymous_id", "cookie"), 1))
    assert await members(bed, COOKIE) == (ANN, COOKIE)
    assert (await bed.people.person(COOKIE)).profile.state.count == 2
    bed.told.clear()
    await feed(said("unlink", ("user_id", "ann"), ("anonymous_id", "cookie"), 2))
    assert sorted(bed.told) == sorted([ANN, COOKIE])
    assert [await members(bed, i) for i in (ANN, COOKIE)] == [(ANN,), (COOKIE,)]
    after = [(await bed.people.person(i)).profile.state for i in (ANN, COOKIE)]
    assert after == before


async def test_two_customers_do_not_become_one(bed: Bed) -> None:
    """Both were seen with one cookie: the earlier keeps it, the later link gives way and is listed."""
    feed = Feeder(bed)
    await feed(event(anonymousId="cookie", minute=0))
    await feed(event(user="bob", anonymousId="cookie", minute=5))
    assert [await members(bed, i) for i in (ANN, BOB)] == [(ANN, COOKIE), (BOB,)]
    (conflict,) = await bed.links.conflicts()
    assert {conflict.left, conflict.right} == {BOB, COOKIE}
    assert conflict.rule == "more_than_1_user_id"
    await feed(said("unlink", ("user_id", "bob"), ("anonymous_id", "cookie"), 6))
    assert await bed.links.conflicts() == []


async def test_what_persons_follow_from_can_be_read(bed: Bed) -> None:
    feed, identities = Feeder(bed), RedisIdentities(bed.redis, 1)
    await feed(event(anonymousId="cookie"), event(user="bob", anonymousId="cookie", minute=5))
    await feed(said("unlink", ("user_id", "ann"), ("anonymous_id", "cookie"), 6))
    found = await identities.edges([ANN])
    assert {edge.verdict for edge in found.values()} == {"positive", "negative"}
    assert {identity for pair in found for identity in pair} == {ANN, BOB, COOKIE}
    assert [(s.source, s.reason) for edge in found.values() for s in edge.said] == [("web", "x")]
    assert await identities.edges([MAIL]) == {}
    assert await identities.conflicts() == []


async def test_a_repeated_record_is_recorded_once(bed: Bed) -> None:
    await bed.partition().take(0, record(event(anonymousId="cookie")))
    raw = await bed.link_record()
    relation = bed.relation()
    await relation.take(0, raw)
    await relation.take(0, raw)
    assert (await bed.links.mark()).version == 1
    await relation.take(1, raw)
    assert [len(entry.raw) > 1 for entry in await bed.links.tail(10)] == [True, False]
    assert (await bed.people.person(COOKIE)).link_version == 1


async def test_an_index_that_died_with_its_writer_is_derived_by_the_next(bed: Bed) -> None:
    """Also where a new log never shows the record again."""
    await Feeder(bed)(event(anonymousId="cookie"))
    for identity in (ANN, COOKIE):
        await bed.redis.delete(f"{{p0}}i:{identity}")
    bed.told.clear()
    await bed.relation(2).resume()
    assert await members(bed, COOKIE) == (ANN, COOKIE)
    assert sorted(bed.told) == sorted([ANN, COOKIE])


async def test_an_older_version_never_replaces_the_index(bed: Bed) -> None:
    feed = Feeder(bed)
    await feed(event(anonymousId="cookie"))
    newest = await bed.people.person(COOKIE)
    other = Person((COOKIE, ANN))
    await bed.links.publish([other], 0)
    assert await bed.people.person(COOKIE) == newest
    await bed.links.publish([other], 7)
    assert (await bed.people.person(COOKIE)).link_version == 7


async def test_a_second_writer_is_refused(bed: Bed) -> None:
    feed = Feeder(bed)
    await feed(event(anonymousId="cookie"))
    zombie = bed.relation()
    await zombie.resume()
    await feed(event(anonymousId="other", minute=1))
    await feed(event(anonymousId="third", minute=2))
    with pytest.raises(Fatal, match="another worker"):
        await zombie.take(1, encode(LinkRecord(((Position(1, 0, 9), ()),))))
    assert (await bed.links.mark()).position.offset == 2


async def test_a_gap_and_an_older_log_end_the_writer(bed: Bed) -> None:
    await Feeder(bed)(event(anonymousId="cookie"))
    with pytest.raises(Fatal, match="records are missing"):
        await bed.relation().take(2, encode(LinkRecord(())))
    with pytest.raises(Fatal, match="older than the last"):
        await bed.relation(0).take(1, encode(LinkRecord(())))


async def test_what_is_no_link_record_is_passed_over(bed: Bed) -> None:
    await bed.relation().take(0, b"nonsense")
    assert (await bed.links.mark()).position == Position(1, 0, 0)


async def test_the_outbox_sends_until_it_is_recorded(bed: Bed) -> None:
    """Sent, but the links log died with its broker: the next sender sends it again, in order, and nothing doubles."""
    partition = bed.partition()
    for minute in range(3):
        await partition.take(minute, record(event(minute=minute, anonymousId=f"c{minute}")))
    sent: list[bytes] = []

    async def send(value: bytes) -> None:
        sent.append(value)

    for _ in range(2):
        sender = OutboxSender(0, bed.store, send)
        before = len(sent)
        await _until(lambda before=before: len(sent) > before)
        sender.stop()
    lost, again = sent
    assert lost == again
    relation = bed.relation()
    await relation.take(0, again)
    await relation.take(1, lost)
    assert await bed.store.outbox(0) == []
    assert len(await members(bed, ANN)) == 4
    assert (await bed.people.person(ANN)).link_version == 1


async def _until(done: Any) -> None:
    for _ in range(500):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def test_link_records_fit_a_broker() -> None:
    claims = tuple(Claim(ANN, "user_id", COOKIE, "anonymous_id", "positive", n, "web") for n in range(2000))
    entries = [OutboxEntry(Position(1, 0, n), claims) for n in range(12)]
    made = list(records(entries))
    assert [entry for one in made for entry in one.entries] == [(e.position, e.claims) for e in entries]
    assert max(len(encode(one)) for one in made) < MAX_BYTES + 1024
    assert len(made) > 1
