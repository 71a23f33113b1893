"""One partition's records, applied once each: what is skipped, refused, rejected, and what follows a record again."""

import asyncio

import msgspec
import pytest

from engine.attribution import outcome_event
from engine.catalog import parse_catalogue
from engine.identity import OBSERVED
from engine.outcome import Outcome
from engine.records import Position, Record, encode
from engine.replay import replay
from infra.stream.advance import JUDGED_TOGETHER, TAIL_SECONDS
from infra.stream.shell import Fatal
from tests.infra.stream.bed import RULES, START, Bed, event, id_of, record

NOTHING = parse_catalogue({"version": "none", "actions": [], "placements": []})


async def test_a_record_is_applied_with_all_that_follows(bed: Bed) -> None:
    partition = bed.partition()
    first = event("identify", anonymousId="cookie", traits={"plan": "gold"})
    await partition.take(0, record(first, event(minute=1), event(user="bob")))
    await partition.settle()
    view = await bed.view()
    assert view.profile.state.count == 2
    assert view.profile.state.traits["plan"].value == "gold"
    assert view.stored[0].position == Position(1, 0, 0)
    assert (await bed.view("bob")).profile.state.count == 1
    assert sorted(bed.notices) == sorted([id_of("user_id", "ann"), id_of("user_id", "bob")])
    (entry,) = await bed.store.outbox(0)
    assert [(c.left, c.right, c.reason) for c in entry.claims] == [
        (id_of("user_id", "ann"), id_of("anonymous_id", "cookie"), OBSERVED)
    ]
    (kept,) = await bed.store.tail(0, 10)
    assert (kept.position, kept.raw) == (Position(1, 0, 0), record(first, event(minute=1), event(user="bob")))
    assert kept.applied == view.applied
    assert bed.woken == 1


async def test_a_redelivered_record_changes_nothing(bed: Bed) -> None:
    records = [record(event(minute=n)) for n in range(4)]
    partition = bed.partition()
    for offset, raw in enumerate(records):
        await partition.take(offset, raw)
    await partition.settle()
    before, bed.notices[:] = await bed.view(), []
    again = bed.partition()
    for offset, raw in enumerate(records[:3]):
        await again.take(offset, raw)
    assert await bed.view() == before
    assert await bed.tail() == [Position(1, 0, n) for n in range(4)]
    assert bed.notices == []
    assert await bed.store.counters(0) == {"skipped": 3, "refused": 0}


async def test_the_last_record_tells_once_more(bed: Bed) -> None:
    """Its notices may have died with the worker that applied it."""
    raw = record(event(), event(user="bob"))
    await bed.partition().take(0, raw)
    before, bed.notices[:] = await bed.view(), []
    again = bed.partition()
    await again.take(0, raw)
    await again.settle()
    assert sorted(bed.notices) == sorted([id_of("user_id", "ann"), id_of("user_id", "bob")])
    assert bed.woken == 1
    assert await bed.view() == before


async def test_a_worker_that_was_overtaken_is_refused(bed: Bed) -> None:
    zombie, other = bed.partition(), bed.partition()
    await zombie.take(0, record(event(minute=0)))
    await other.take(0, record(event(minute=0)))
    await other.take(1, record(event(minute=1)))
    await other.take(2, record(event(minute=2)))
    with pytest.raises(Fatal, match="another worker"):
        await zombie.take(1, record(event(minute=1)))
    assert (await bed.view()).profile.state.count == 3
    assert await bed.tail() == [Position(1, 0, n) for n in range(3)]
    assert (await bed.store.counters(0))["refused"] == 1


async def test_a_write_that_landed_unseen_is_recognised(bed: Bed) -> None:
    """The script ran, its answer was lost, and the same batch is tried again: no refusal, and nothing twice."""
    first, second = bed.partition(), bed.partition()
    await first.take(0, record(event(minute=0)))
    await second.take(0, record(event(minute=0)))
    await first.take(1, record(event(minute=1)))
    await second.take(1, record(event(minute=1)))
    await second.take(2, record(event(minute=2)))
    assert (await bed.view()).profile.state.count == 3
    assert (await bed.store.counters(0))["refused"] == 0


async def test_a_gap_ends_the_worker(bed: Bed) -> None:
    partition = bed.partition()
    await partition.take(0, record(event()))
    with pytest.raises(Fatal, match="records are missing"):
        await partition.take(2, record(event(minute=2)))


async def test_a_new_log_starts_anew_and_an_old_one_is_refused(bed: Bed) -> None:
    await bed.partition(1).take(0, record(event()))
    await bed.partition(2).take(0, record(event(minute=1)))
    assert (await bed.view()).profile.state.count == 2
    assert await bed.tail() == [Position(1, 0, 0), Position(2, 0, 0)]
    with pytest.raises(Fatal, match="older than the last"):
        await bed.partition(1).take(1, record(event(minute=2)))


async def test_what_is_no_record_is_rejected_and_passed_over(bed: Bed) -> None:
    partition = bed.partition()
    await partition.take(0, b"no record of ours")
    await partition.take(1, record(event()))
    (reject,) = bed.rejected
    assert (reject.position, reject.index, reject.code) == (Position(1, 0, 0), -1, "unreadable")
    assert reject.event == b"no record of ours"
    assert (await bed.view()).profile.state.count == 1


async def test_one_bad_event_is_rejected_alone(bed: Bed) -> None:
    late = msgspec.structs.replace(event(user="bob"), received=1 << 53, at=START)
    await bed.partition().take(0, record(event(), late, event(minute=1)))
    (reject,) = bed.rejected
    assert (reject.index, reject.code) == (1, "OverflowError")
    assert (await bed.view()).profile.state.count == 2
    assert not (await bed.view("bob")).known


async def test_where_most_is_rejected_the_partition_pauses_and_goes_on(bed: Bed) -> None:
    partition = bed.partition()
    for offset in range(JUDGED_TOGETHER - 1):
        await partition.take(offset, b"no record of ours")
    assert await bed.store.paused(1) == []
    taking = asyncio.create_task(partition.take(JUDGED_TOGETHER - 1, b"no record of ours"))
    told: list[list[int]] = []
    while not taking.done():
        told.append(await bed.store.paused(1))
        await asyncio.sleep(0.01)
    assert [0] in told
    await taking
    await partition.take(JUDGED_TOGETHER, record(event()))
    assert (await bed.view()).profile.state.count == 1
    assert len(bed.rejected) == JUDGED_TOGETHER


async def test_a_few_rejects_among_many_pause_nothing(bed: Bed) -> None:
    partition = bed.partition()
    bad = msgspec.structs.replace(event(user="bob"), received=1 << 53, at=START)
    for offset in range(4):
        good = [event(minute=n, messageId=f"{offset}-{n}") for n in range(60)]
        await partition.take(offset, record(*good, *([bad] * 20)))
    assert await bed.store.paused(1) == []
    assert len(bed.rejected) == 80


async def test_the_same_message_twice_is_once(bed: Bed) -> None:
    partition = bed.partition()
    await partition.take(0, record(event(), event()))
    await partition.take(1, record(event()))
    assert (await bed.view()).profile.state.count == 1


async def test_a_replay_gives_the_same_fragments(bed: Bed) -> None:
    events = [event("identify", traits={"plan": f"p{n}"}, minute=n % 7, messageId=f"m{n}") for n in range(60)]
    partition = bed.partition()
    for offset, start in enumerate(range(0, 60, 20)):
        await partition.take(offset, record(*events[start : start + 20]))
    (stored,) = (await bed.view()).stored
    assert stored.fragment == replay(events, RULES)[id_of("user_id", "ann")]


async def test_outcomes_are_counted_once_across_profiles(bed: Bed) -> None:
    def outcome(user: str, name: str) -> bytes:
        said = Outcome(f"{id_of('user_id', user)}.01ARZ3NDEKTSV4RRFFQ69G5FAV", "call_back", name, START)
        return encode(Record("1", START, (outcome_event(said, None, NOTHING, START),)))

    raws = [outcome(user, name) for user in ("ann", "bob") for name in ("presented", "accepted")]
    raws.append(outcome("ann", "presented"))
    for worker in (bed.partition(), bed.partition()):
        for offset, raw in enumerate(raws):
            await worker.take(offset, raw)
    assert await bed.store.counts(0) == {"call_back||presented": 2, "call_back||accepted": 2}


async def test_a_decision_can_be_read_until_it_expires(bed: Bed) -> None:
    made = msgspec.structs.replace(
        event(), kind="decision", message_id="some.decision", properties={"record": b"packed"}, identifiers=()
    )
    await bed.partition().take(0, record(made))
    assert await bed.redis.get("{p0}d:some.decision") == b"packed"
    assert 0 < await bed.redis.ttl("{p0}d:some.decision") <= 3600


async def test_a_full_tail_waits_for_the_archive(bed: Bed) -> None:
    bed.tail_limit = 3
    partition = bed.partition()
    for offset in range(3):
        await partition.take(offset, record(event(minute=offset)))

    taking = asyncio.create_task(partition.take(3, record(event(minute=3))))
    await asyncio.sleep(2 * TAIL_SECONDS)
    assert await bed.store.tail_length(0) == 4
    assert not taking.done()
    await bed.store.trim_tail(Position(1, 0, 2))
    await taking
    assert await bed.tail() == [Position(1, 0, 3)]


async def test_records_taken_together_keep_their_own_places(bed: Bed) -> None:
    raws = [record(event(minute=n), event(user=f"u{n}", minute=n)) for n in range(3)]
    partition = bed.partition()
    await partition.take(0, raws[0])
    await partition.take_all([(0, raws[0]), (1, raws[1]), (2, raws[2])])
    assert await bed.tail() == [Position(1, 0, n) for n in range(3)]
    assert [entry.raw for entry in await bed.store.tail(0, 10)] == raws
    assert (await bed.view()).profile.state.count == 3
    assert [(await bed.view(f"u{n}")).stored[0].position.offset for n in range(3)] == [0, 1, 2]
    assert await bed.store.counters(0) == {"skipped": 1, "refused": 0}


async def test_every_record_of_the_last_batch_tells_once_more(bed: Bed) -> None:
    raws = [record(event(user=f"u{n}")) for n in range(4)]
    partition = bed.partition()
    await partition.take_all([(0, raws[0]), (1, raws[1])])
    await partition.take_all([(2, raws[2]), (3, raws[3])])
    await partition.settle()
    assert await bed.store.batch_began(0) == 2
    bed.notices[:] = []
    again = bed.partition()
    for offset, raw in enumerate(raws):
        await again.take(offset, raw)
    await again.settle()
    assert bed.notices == [id_of("user_id", f"u{n}") for n in (2, 3)]


async def test_a_gap_within_records_taken_together_applies_none(bed: Bed) -> None:
    with pytest.raises(Fatal, match="records are missing"):
        await bed.partition().take_all([(0, record(event())), (2, record(event(minute=2)))])
    assert await bed.tail() == []
