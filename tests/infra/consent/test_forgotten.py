"""A Redis that comes back without its last second, and rows of the ledger that cannot be read: nobody is ever shown a
withdrawn purpose as granted, and nobody pays for somebody else's damage."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from engine.ports import ConsentChange
from engine.records import partition_of
from infra.consent_opening import ConsentSide
from infra.ledger_store_consent import ROWS
from infra.redis_store import Pending
from tests.infra.consent.dying import AMID_FINAL, LEDGERED, dies
from tests.infra.consent.place import PARTITIONS, A, B, Place, allowed, consent, keys_of, no, yes
from tests.infra.forgetful import Forgetful

LATER = 60_000
Act = Callable[[ConsentSide, Place], Awaitable[None]]


async def _withdraw(side: ConsentSide, _place: Place) -> None:
    await side.consents.write({A: no(2000), B: no(2000)})
    await side.consents.end()


async def _die_before_key(_side: ConsentSide, place: Place) -> None:
    await dies(place, LEDGERED, "no")


async def _die_amid_keys(_side: ConsentSide, place: Place) -> None:
    await dies(place, AMID_FINAL, "no")


@pytest.mark.parametrize("act", [_withdraw, _die_before_key, _die_amid_keys])
async def test_a_redis_without_its_last_second_is_not_believed(forgetful: Forgetful, tmp_path: Path, act: Act) -> None:
    place = Place(await forgetful.start(), f"sqlite:///{tmp_path / 'ledger.db'}")
    side, watching = await place.opened(), await place.opened()
    await side.consents.write({A: yes(1000, A, B)})
    assert await allowed(side)
    assert await allowed(watching)
    before = await forgetful.written()
    await act(side, place)
    await forgetful.forget_since(before)
    fresh = place.side()
    for reader in (side, watching, fresh):
        assert not await allowed(reader)
        assert not reader.truth.believed
    assert await fresh.truth.catch_up() == 2
    for reader in (side, watching, fresh):
        await reader.truth.catch_up()
        assert reader.truth.believed
        assert not await allowed(reader)
    raw, _ = await keys_of(side).read([A, B])
    assert {i: h.statements["marketing"][0].status for i, h in raw.items()} == {A: "denied", B: "denied"}
    await place.close()


async def test_a_redis_that_forgot_is_not_believed_about_who_may_be_collected_or_joined(
    forgetful: Forgetful, tmp_path: Path
) -> None:
    place = Place(await forgetful.start(), f"sqlite:///{tmp_path / 'ledger.db'}")
    side = await place.opened()
    await side.consents.write({A: yes(1000, A)})
    before = await forgetful.written()
    await side.consents.write({A: no(2000)})
    await forgetful.forget_since(before)
    fresh = place.side()
    for reader in (side, fresh):
        said = await reader.people.said([A])
        assert [s.status for s in said[A][A].statements["marketing"]] == ["denied"]
        assert (await reader.consents.held([A]))[A] == said[A][A]
    await fresh.consents.spread([[A, B]])
    assert [s.status for s in (await side.ledger.held([B]))[B].statements["marketing"]] == ["denied"]
    await place.close()


async def test_a_redis_that_lost_everything_gets_consent_back(forgetful: Forgetful, tmp_path: Path) -> None:
    place = Place(await forgetful.start(), f"sqlite:///{tmp_path / 'ledger.db'}")
    side = await place.opened()
    empty = await forgetful.written()
    await side.consents.write({A: yes(1000, A)})
    await side.consents.write({B: no(1000)})
    await forgetful.forget_since(empty)
    assert await allowed(side)
    assert await side.truth.catch_up() == 2
    raw, _ = await keys_of(side).read([A, B])
    assert raw == await side.ledger.held([A, B])
    await place.close()


async def spoil(side: ConsentSide, identity: str) -> bytes:
    """Make the row of one identifier unreadable; returns what it said."""
    mine = ROWS.c.subject == identity
    with side.ledger._engine.begin() as connection:
        said = bytes(connection.execute(select(ROWS.c.payload).where(mine)).scalar_one())
        connection.execute(update(ROWS).where(mine).values(payload=b"{"))
    return said


async def test_a_damaged_row_keeps_nobody_else_from_being_mended(place: Place) -> None:
    side = await place.opened()
    await side.consents.write({A: yes(1000, A), B: yes(1000, B)})
    await spoil(side, A)
    since = Pending(place.clock(), ConsentChange())
    await keys_of(side).hold({A: no(2000), B: no(2000)}, {A: "rA", B: "rB"}, since)
    _, waiting = await keys_of(side).read([A, B])
    assert await side.consents.mend(waiting) == {A, B}
    place.clock.at += LATER
    assert await side.consents.mend(waiting) == set()
    assert [row.how for row in await side.consents.history([B])] == ["request", "mended"]
    assert not await allowed(side)
    assert not await allowed(side, B)


async def test_a_redis_that_restarted_is_believed_again_though_a_row_is_damaged(
    forgetful: Forgetful, tmp_path: Path
) -> None:
    """Of whom the ledger cannot say what they said, nothing is used; everybody else is as they said."""
    place = Place(await forgetful.start(), f"sqlite:///{tmp_path / 'ledger.db'}")
    side = await place.opened()
    empty = await forgetful.written()
    await side.consents.write({A: yes(1000, A), B: yes(1000, B)})
    said = await spoil(side, A)
    await forgetful.forget_since(empty)
    assert await allowed(side, B)
    assert await side.truth.catch_up() == 2
    assert side.truth.believed
    assert await allowed(side, B)
    assert (await consent(side, A)).restricted
    assert not await allowed(side, A)
    await side.consents.spread([[A, B]])
    assert [row.how for row in await side.consents.history([B])] == ["request"]
    with side.ledger._engine.begin() as connection:
        connection.execute(update(ROWS).where(ROWS.c.subject == A).values(payload=said))
    assert not (await consent(side, A)).restricted
    assert await allowed(side, A)
    await place.close()


async def test_who_writes_before_redis_has_caught_up_hides_nothing_that_it_lost(
    forgetful: Forgetful, tmp_path: Path
) -> None:
    """Both are in one partition: its mark must not pass over what is missing."""
    place = Place(await forgetful.start(), f"sqlite:///{tmp_path / 'ledger.db'}")
    side = await place.opened()
    other = next(
        i for i in (f"{n:a>16}" for n in range(99)) if partition_of(i, PARTITIONS) == partition_of(A, PARTITIONS)
    )
    await side.consents.write({A: yes(1000, A)})
    before = await forgetful.written()
    await side.consents.write({A: no(2000)})
    await side.consents.end()
    await forgetful.forget_since(before)
    hasty = place.side()
    await hasty.consents.write({other: yes(3000, other)})
    await hasty.truth.catch_up()
    for reader in (side, hasty, await place.opened()):
        assert not await allowed(reader)
    await place.close()
