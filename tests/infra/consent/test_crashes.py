"""Processes that die between serving key and ledger, and a Redis that comes back without its last second: nobody is
ever shown a withdrawn purpose as granted."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select, update

from engine.consent import GRANTED, Statement, resolve
from engine.ports import ConsentChange, Unavailable
from engine.records import partition_of
from infra.consent_opening import ConsentSide
from infra.embedded import free_port, start_redis
from infra.ledger_store_consent import ROWS
from infra.processes import RunningServer
from infra.redis_store import Pending
from infra.redis_store_consent import ConsentKeys
from tests.infra.consent.dying import AFTER, AMID_FINAL, AMID_KEYS, BEFORE, DEAD, HELD, IN_LEDGER, LEDGERED, STEPS
from tests.infra.consent.place import PARTITIONS, POLICY, A, B, Place, allowed, consent, keys_of, link, no, yes

LATER = 60_000


async def dies(place: Place, step: str, what: str) -> None:
    """Another process says `what` and dies at this step."""
    arguments = ("-m", "tests.infra.consent.dying", place.redis_url, place.database_url, step, what)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    assert await process.wait() == DEAD


@pytest.mark.parametrize("step", STEPS)
async def test_a_withdrawal_whose_process_dies_is_never_shown_as_granted(place: Place, step: str) -> None:
    side = await place.opened()
    await side.consents.write({A: yes(1000, A, B)})
    assert await allowed(side)
    await dies(place, step, "no")
    in_ledger = bool((await side.ledger.held([B])).get(B))
    for reader in (side, place.side(), await place.opened()):
        for identity in (A, B):
            assert await allowed(reader, identity) is (step == BEFORE and identity == A)
    assert in_ledger == (step in (LEDGERED, AMID_FINAL, AFTER))
    assert side.ledger.verify().broken is None


@pytest.mark.parametrize("step", STEPS[1:])
async def test_what_a_dead_writer_left_is_carried_out_by_the_next(place: Place, step: str) -> None:
    side = await place.opened()
    await side.consents.write({A: yes(1000, A, B)})
    await dies(place, step, "no")
    _, waiting = await keys_of(side).read([A, B])
    left: dict[str, set[str]] = {AMID_KEYS: {A}, AMID_FINAL: {B}, AFTER: set()}
    assert set(waiting) == left.get(step, {A, B})
    await side.consents.mend(waiting)
    assert (await keys_of(side).read([A, B]))[1] == waiting
    place.clock.at += LATER
    await side.consents.mend(waiting)
    assert (await keys_of(side).read([A, B]))[1] == {}
    # whoever died amid the keys had told nobody but A, and answered nobody
    refusing = {A} if step == AMID_KEYS else {A, B}
    held = await side.ledger.held([A, B])
    assert {i: h.statements["marketing"][0].status for i, h in held.items()} == dict.fromkeys(refusing, "denied")
    assert not await allowed(side)
    assert side.ledger.verify().broken is None


async def test_what_is_mended_reaches_everybody_who_is_one_person(place: Place) -> None:
    """The writer died when one of two linked identifiers refused: parting them later must open nothing."""
    side = await place.opened()
    await link(side.redis, [A, B])
    await dies(place, AMID_KEYS, "no")
    place.clock.at += LATER
    await side.consents.mend((await keys_of(side).read([A, B]))[1])
    for reader in (side, await place.opened()):
        assert (await consent(reader, B)).answers["marketing"].status == "denied"
    await link(side.redis, [A], 2)
    await link(side.redis, [B], 2)
    assert (await consent(side, B)).answers["marketing"].status == "denied"


async def test_what_is_mended_still_says_who_said_it_and_is_told_of_once(place: Place) -> None:
    side = await place.opened()
    left = Pending(place.clock(), ConsentChange(), "desk", "GDPR")
    await keys_of(side).hold({A: no(2000)}, {A: "r1"}, left)
    told: list[int] = []

    async def tell(identities: Sequence[str]) -> None:
        told.append(len(await side.consents.history(identities)))

    for later in (0, LATER, 0):
        await side.people.person(A)
        place.clock.at += later
        await side.truth._mended(side.consents, tell)
    assert told == [1]
    (row,) = await side.consents.history([A])
    assert (row.how, row.who, row.jurisdiction) == ("mended", "desk", "GDPR")


async def test_what_waits_is_not_forgotten_while_redis_is_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    side = await place.opened()
    await keys_of(side).hold({A: no(2000)}, {A: "r1"}, Pending(place.clock(), ConsentChange()))
    await side.people.person(A)
    place.clock.at += LATER

    async def away(_keys: ConsentKeys, _identities: object) -> None:
        await asyncio.sleep(0)
        raise Unavailable("the consent store does not answer; try again in a moment")

    with monkeypatch.context() as patched:
        patched.setattr(ConsentKeys, "read", away)
        with pytest.raises(Unavailable):
            await side.truth._mended(side.consents)
    await side.truth._mended(side.consents)
    assert [row.how for row in await side.consents.history([A])] == ["mended"]


@pytest.mark.parametrize("step", [IN_LEDGER, LEDGERED, AFTER])
async def test_a_grant_is_in_the_ledger_before_anybody_sees_it(place: Place, step: str) -> None:
    side = await place.opened()
    await side.consents.write({A: no(1000)})
    await dies(place, step, "yes")
    ledgered = (await side.ledger.held([A]))[A].statements["marketing"][0].status
    assert ledgered == ("denied" if step == IN_LEDGER else "granted")
    assert await allowed(side) is (step == AFTER)


async def test_while_the_ledger_is_away_a_refusal_on_its_way_counts(place: Place) -> None:
    side = await place.opened()
    await side.consents.write({A: yes(1000, A)})
    await dies(place, HELD, "no")
    reader = await place.opened()
    reader.ledger._engine.dispose()
    file = Path(place.database_url.removeprefix("sqlite:///"))
    file.rename(file.with_suffix(".away"))
    assert not await allowed(reader)


async def test_a_slower_writer_does_not_put_an_older_state_over_a_newer(place: Place) -> None:
    side = await place.opened()
    await side.consents.write({A: yes(1000, A)})
    older = await side.ledger.held([A])
    await side.consents.write({A: no(2000)})
    await keys_of(side).settle(older, {})
    assert not await allowed(side)


async def test_a_writer_takes_away_only_its_own_pending(place: Place) -> None:
    side = await place.opened()
    await side.consents.write({A: yes(1000, A)})
    await dies(place, HELD, "no")
    await side.consents.write({A: yes(1500, A)})
    _, waiting = await keys_of(side).read([A])
    assert len(waiting[A]) == 1
    assert not await allowed(side)


async def test_who_becomes_the_same_person_meanwhile_is_reached(place: Place) -> None:
    """The link is published while the withdrawal is being written for one side only."""
    side = await place.opened()
    await link(side.redis, [A, B])
    states = await side.consents.write({A: no(1000)})
    assert [s.status for s in (await side.ledger.held([B]))[B].statements["marketing"]] == ["denied"]
    assert states == await side.consents.held([A, B])


async def test_what_a_write_says_holds_also_what_others_refuse_meanwhile(place: Place) -> None:
    """A refusal on its way to the ledger is in the answer to another change, as it is in every read."""
    side = await place.opened()
    await side.consents.write({A: yes(1000, A)})
    await dies(place, HELD, "no")
    other = ConsentChange({"analytics": Statement(GRANTED, 2000, "page", True, (A,))})
    states = await side.consents.write({A: other})
    assert not resolve(states, POLICY).allows("marketing")
    assert resolve(states, POLICY).allows("analytics")
    assert states == await side.consents.held([A])


class Forgetful:
    """A Redis with an append-only file that can be killed and come back without what it wrote last."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.server: RunningServer | None = None

    async def start(self) -> str:
        self.server = await start_redis(self.port, self.home)
        return self.server.url

    @property
    def file(self) -> Path:
        return next((self.home / "redis" / "appendonlydir").glob("*.incr.aof"))

    async def forget_since(self, size: int) -> None:
        """Dies, and comes back with its file as it was when it had this size."""
        assert self.server is not None
        os.kill(self.server.pid, signal.SIGKILL)
        await self.server.stop()
        os.truncate(self.file, size)
        await self.start()


@pytest.fixture
async def forgetful(tmp_path: Path) -> AsyncIterator[Forgetful]:
    made = Forgetful(tmp_path)
    yield made
    if made.server is not None:
        await made.server.stop()


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
    before = forgetful.file.stat().st_size
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
    before = forgetful.file.stat().st_size
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
    empty = forgetful.file.stat().st_size
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
    empty = forgetful.file.stat().st_size
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
    before = forgetful.file.stat().st_size
    await side.consents.write({A: no(2000)})
    await side.consents.end()
    await forgetful.forget_since(before)
    hasty = place.side()
    await hasty.consents.write({other: yes(3000, other)})
    await hasty.truth.catch_up()
    for reader in (side, hasty, await place.opened()):
        assert not await allowed(reader)
    await place.close()
