"""Processes that die between serving key and ledger: nobody is ever shown a withdrawn purpose as granted."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.consent import GRANTED, Statement, resolve
from engine.ports import ConsentChange, Unavailable
from infra.redis_store import Pending
from infra.redis_store_consent import ConsentKeys
from tests.infra.consent.dying import AFTER, AMID_FINAL, AMID_KEYS, BEFORE, HELD, IN_LEDGER, LEDGERED, STEPS, dies
from tests.infra.consent.place import POLICY, A, B, Place, allowed, consent, keys_of, link, no, yes

LATER = 60_000


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
