"""A refusal's row is made while the refusal is on its way into the serving keys, and is in the ledger only once it
counts there; who waits for a slow key waits alone."""

import asyncio

import pytest

from engine.consent import DENIED
from engine.ports import ConsentChange, Unavailable
from infra.ledger_store_consent import Commit, ConsentLedger, open_ledger
from infra.ledger_store_gate import PATIENCE_SECONDS
from infra.redis_store_consent import ConsentKeys
from tests.infra.consent.place import A, B, Place, allowed, keys_of, no, yes
from tests.infra.consent.test_ledger_store import draft


@pytest.mark.parametrize("waits", [PATIENCE_SECONDS / 5, 3 * PATIENCE_SECONDS])
async def test_a_row_is_in_the_ledger_only_once_its_refusal_counts(
    ledger: ConsentLedger, database_url: str, waits: float
) -> None:
    counting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writing = asyncio.create_task(ledger.commit(Commit([draft("r1")], [A]), counting))
    await asyncio.sleep(waits)
    assert await ConsentLedger(open_ledger(database_url), lambda: 5).held([A]) == {}
    assert not writing.done()
    counting.set_result(None)
    assert (await writing)[A].version == 1
    assert ledger.verify().rows == 1
    await ledger.close()


async def test_nobody_waits_for_the_slow_key_of_another(ledger: ConsentLedger) -> None:
    counting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    slow = asyncio.create_task(ledger.commit(Commit([draft("r1")], [A]), counting))
    quick = asyncio.create_task(ledger.commit(Commit([draft("r2", B)], [B])))
    assert (await quick)[B].version == 1
    later = await ledger.commit(Commit([draft("r3", B, 2)], [B]))
    assert later[B].version == 2
    assert not slow.done()
    counting.set_result(None)
    assert (await slow)[A].version == 3
    assert ledger.verify().broken is None
    await ledger.close()


async def test_a_refusal_that_never_counts_is_in_no_ledger(ledger: ConsentLedger) -> None:
    counting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    counting.set_exception(Unavailable("the consent store did not take the change"))
    answers = await asyncio.gather(
        ledger.commit(Commit([draft("r1")], [A]), counting),
        ledger.commit(Commit([draft("r2", B)], [B])),
        return_exceptions=True,
    )
    assert isinstance(answers[0], Unavailable)
    assert (await ledger.held([A, B])).keys() == {B}
    await ledger.close()


async def test_where_the_keys_do_not_answer_nothing_is_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_keys: ConsentKeys, _changes: object, _rows: object, _at: int) -> None:
        await asyncio.sleep(0)
        raise Unavailable("the consent store did not take the change; send it again")

    side = await place.opened()
    await side.consents.write({A: yes(1000, A, B)})
    monkeypatch.setattr(ConsentKeys, "hold", away)
    with pytest.raises(Unavailable):
        await side.consents.write({A: no(2000)})
    assert (await side.ledger.head()).seq == 1
    assert await allowed(side)


async def test_who_only_refuses_does_not_wait_for_the_key_to_be_settled(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, let = ConsentKeys.settle, asyncio.Event()

    async def slow(keys: ConsentKeys, states: object, rows: object) -> object:
        await let.wait()
        return await settle(keys, states, rows)  # type: ignore[arg-type]

    side = await place.opened()
    await side.consents.write({A: yes(1000, A, B)})
    monkeypatch.setattr(ConsentKeys, "settle", slow)
    said = await side.consents.write({A: no(2000)})
    assert said[A].statements["marketing"][0].status == DENIED
    for reader in (side, await place.opened()):
        assert not await allowed(reader)
    let.set()
    await side.consents.end()
    found, waiting = await keys_of(side).read([A])
    assert (found[A], waiting) == (said[A], {})


async def test_a_yes_right_after_a_no_counts_though_the_no_is_not_settled(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_keys: ConsentKeys, _states: object, _rows: object) -> object:
        raise Unavailable("the consent store did not take the change; send it again")

    side = await place.opened()
    with monkeypatch.context() as patched:
        patched.setattr(ConsentKeys, "settle", never)
        await side.consents.write({A: no(1000)})
        await side.consents.end()
    assert not await allowed(side)
    await side.consents.write({A: yes(2000, A)})
    for reader in (side, await place.opened()):
        assert await allowed(reader)


async def test_a_refused_channel_is_settled_before_the_answer(place: Place) -> None:
    """A preference carries no time: a row of it that stayed would take away what is allowed later."""
    side = await place.opened()
    for yes_or_no in (False, True, False):
        await side.consents.write({A: ConsentChange(preferences={"email": {"all": yes_or_no}})})
        found, waiting = await keys_of(side).read([A])
        assert (found[A].preferences, waiting) == ({"email": {"all": yes_or_no}}, {})
