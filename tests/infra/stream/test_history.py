"""Profiles of the past from a real archive and real tails: before and after links, unlinks and late events, wherever
the archiver had got to by then."""

from typing import Any

import msgspec
import pytest

from engine.events import Event
from engine.ports import PersonView
from infra.history import ArchivedHistory
from infra.redis_store_links import RedisIdentities
from infra.redis_store_replay import ReplayStore
from tests.infra.stream.bed import RULES, event, id_of
from tests.infra.stream.rebuilding import PARTITIONS, House, story

ANN, BOB = id_of("user_id", "ann"), id_of("anonymous_id", "bob")


def history(house: House) -> ArchivedHistory:
    store, identities = ReplayStore(house.redis, PARTITIONS), RedisIdentities(house.redis, PARTITIONS)
    return ArchivedHistory(house.settings.archive, (house.bed.people, identities), store, lambda: RULES)


def shown(view: PersonView) -> tuple[object, ...]:
    """What a reader sees of a person, without the versions of what it was read from."""
    return view.profile_id, view.members, view.stored, view.profile.state


async def keep(house: House, archived: bool) -> int:
    """A moment that everything so far was applied by, and whether it is archived then."""
    if archived:
        await house.archiver.round()
    return house.bed.clock()


def visit(minute: int, kind: str = "track", **fields: Any) -> Event:
    """An event of Bob, who is only known by a cookie."""
    return event(kind, minute=minute, userId=None, anonymousId="bob", messageId=f"visit-{minute}", **fields)


def said(kind: str, minute: int) -> Event:
    """Somebody says that Ann and a visitor are one person, or are not."""
    pair = (event(user="ann").identifiers[0], visit(minute).identifiers[0])
    return msgspec.structs.replace(event(user="ann", minute=minute, messageId=kind), kind=kind, identifiers=pair)


@pytest.mark.parametrize("archived", [True, False], ids=["archived", "in the tails"])
async def test_every_moment_is_as_it_was(house: House, archived: bool) -> None:
    moments: list[tuple[int, PersonView]] = []

    async def remember() -> None:
        moments.append((await keep(house, archived), await house.bed.people.person(ANN)))

    await house.apply([event("identify", "ann", anonymousId="cookie", traits={"plan": "basic"})])
    await house.relate()
    await remember()
    await house.apply([visit(3, "identify", traits={"plan": "gold"}), visit(4)])
    await remember()
    await house.apply(
        [event(user="ann", minute=1, messageId="late"), event("identify", "ann", minute=9, traits={"n": 1})]
    )
    await remember()
    for minute, kind in ((10, "link"), (20, "unlink")):
        await house.apply([said(kind, minute)])
        await house.relate()
        await remember()
    past = history(house)
    for at, then in moments:
        found = await past.person_at(ANN, at)
        assert found.members == then.members
        assert shown(found) == shown(then)
    together, apart = moments[3][1], moments[4][1]
    assert BOB in together.members
    assert BOB not in apart.members
    assert (await past.person_at(BOB, moments[3][0])).members == together.members
    assert not (await past.person_at(ANN, moments[0][0] - 10_000)).known
    assert not (await past.person_at(BOB, moments[0][0])).known


async def test_the_past_of_many_is_found_among_many(house: House) -> None:
    """Half archived, half waiting, the archive tidied in between."""
    events = story(1_200, seed=21)
    await house.live_through(events[:600], archived=4)
    await house.archiver.round()
    at = house.bed.clock()
    homes = sorted({one.home for one in events})
    then = {view.profile_id: view for view in await house.bed.people.people(homes)}
    await house.live_through(events[600:], archived=2)
    past = history(house)
    for profile_id, view in list(then.items())[::4]:
        if view.known:
            assert shown(await past.person_at(profile_id, at)) == shown(view)
