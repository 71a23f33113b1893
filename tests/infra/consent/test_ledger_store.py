"""The ledger in SQL: append-only under several writers, tampering found, payloads erasable, conditions checked."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from engine.ledger import Draft, Saying, saying_of
from engine.ports import Stale, Unavailable
from infra.doctor import examine
from infra.embedded import free_port
from infra.ledger_store_consent import ROWS, Commit, ConsentLedger, open_ledger
from infra.settings import Settings
from tests.infra.consent.place import A, B, no, yes


def draft(row: str, subject: str = A, at: int = 1) -> Draft:
    return Draft(row, subject, Saying(at, "desk", "request", no(at) if at % 2 else yes(at, subject), "GDPR"), True)


async def filled(ledger: ConsentLedger, rows: int = 6) -> None:
    for n in range(1, rows + 1):
        await ledger.commit(Commit([draft(f"r{n}", (A, B)[n % 2], n)], [A, B]))


async def test_a_row_is_there_when_the_commit_returns(ledger: ConsentLedger, database_url: str) -> None:
    held = await ledger.commit(Commit([draft("r1"), draft("r2", B)], [A, B]))
    assert (held[A].version, held[B].version) == (1, 2)
    other = ConsentLedger(open_ledger(database_url), lambda: 5)
    assert await other.held([A, B]) == held
    said = saying_of((await other.rows([A]))[0])
    assert said is not None
    assert (said.who, said.how, said.jurisdiction) == ("desk", "request", "GDPR")


async def test_the_same_row_again_writes_nothing(ledger: ConsentLedger) -> None:
    for _ in range(3):
        await ledger.commit(Commit([draft("r1")], [A]))
    assert (await ledger.head()).seq == 1


async def test_writers_of_several_processes_make_one_chain(database_url: str) -> None:
    ledgers = [ConsentLedger(open_ledger(database_url), lambda: 5) for _ in range(3)]
    people = [f"{n:026d}" for n in range(60)]
    commits = [
        ledgers[n % 3].commit(Commit([draft(f"{n}-{turn}", who, turn)], [who]))
        for n, who in enumerate(people)
        for turn in (1, 2)
    ]
    await asyncio.gather(*commits)
    found = ledgers[0].verify()
    assert (found.rows, found.broken) == (120, None)


async def test_of_two_who_read_the_same_only_one_is_taken(database_url: str) -> None:
    ledgers = [ConsentLedger(open_ledger(database_url), lambda: 5) for _ in range(2)]
    tries = [one.commit(Commit([draft(f"r{n}", A, 2 * n + 1)], [A], {A: 0})) for n, one in enumerate(ledgers)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Stale", "dict"]
    assert (await ledgers[0].head()).seq == 1


async def test_a_refused_condition_does_not_hold_up_the_others(ledger: ConsentLedger) -> None:
    answers = await asyncio.gather(
        ledger.commit(Commit([draft("r1", A)], [A], {A: 7})),
        ledger.commit(Commit([draft("r2", B)], [B])),
        return_exceptions=True,
    )
    assert isinstance(answers[0], Stale)
    assert (await ledger.held([A, B])).keys() == {B}


async def test_a_row_that_cannot_be_read_holds_up_nobody_else(ledger: ConsentLedger, database_url: str) -> None:
    await filled(ledger)
    with open_ledger(database_url).begin() as connection:
        connection.execute(update(ROWS).where(ROWS.c.seq == 2).values(payload=b"{"))
    answers = await asyncio.gather(
        ledger.commit(Commit([draft("r7", A, 7)], [A])),
        ledger.commit(Commit([draft("r8", B, 7)], [B])),
        return_exceptions=True,
    )
    assert isinstance(answers[0], Unavailable)
    assert "row 2 " in str(answers[0])
    assert isinstance(answers[1], dict)
    assert answers[1][B].version == 7
    with pytest.raises(Unavailable, match="doctor"):
        await ledger.held([A])
    assert ledger.erase_payloads([A]) == 3
    assert (await ledger.held([A]))[A].statements == {}
    await ledger.close()


async def test_whatever_goes_wrong_in_a_write_is_told_to_who_waits_for_it(
    ledger: ConsentLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ConsentLedger, "_write", broken)
    with pytest.raises(ZeroDivisionError):
        await ledger.commit(Commit([draft("r1")], [A]))


async def test_the_chain_is_walked_as_of_one_moment(ledger: ConsentLedger, database_url: str) -> None:
    """Somebody writes between the reading of the rows and of where they end."""
    await filled(ledger)
    other = ConsentLedger(open_ledger(database_url), lambda: 5)

    def meanwhile(_rows: int) -> None:
        asyncio.run(filled_by(other))

    found = await asyncio.to_thread(ledger.verify, meanwhile)
    assert (found.rows, found.broken, found.problem) == (6, None, "")
    assert ledger.verify().rows == 7


async def filled_by(other: ConsentLedger) -> None:
    await other.commit(Commit([draft("r9", A, 9)], [A]))


async def test_doctor_says_that_a_database_does_not_answer(tmp_path: Path) -> None:
    away = f"postgresql+psycopg://somebody@127.0.0.1:{free_port()}/nowhere"
    found = {f.name: f for f in await examine(Settings(data_dir=tmp_path, database_url=away))}
    for name in ("database", "consent ledger"):
        assert not found[name].ok
        assert found[name].detail.startswith("the database does not answer")


async def test_doctor_names_the_first_broken_row(tmp_path: Path, database_url: str) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    engine = open_ledger(database_url)
    ledger = ConsentLedger(engine, lambda: 5)
    await filled(ledger)
    found = {finding.name: finding for finding in await examine(settings)}["consent ledger"]
    assert (found.ok, found.detail) == (True, "6 rows, 0 of them erased, the chain holds")
    with engine.begin() as connection:
        connection.execute(update(ROWS).where(ROWS.c.seq == 4).values(payload=b"{}"))
        connection.execute(update(ROWS).where(ROWS.c.seq == 5).values(subject="x"))
    found = {finding.name: finding for finding in await examine(settings)}["consent ledger"]
    assert not found.ok
    assert found.detail.startswith("row 4 is broken: its payload is not the one that was written")


@pytest.mark.parametrize("row", range(1, 7))
async def test_any_row_that_is_taken_out_is_missed(ledger: ConsentLedger, database_url: str, row: int) -> None:
    await filled(ledger)
    with open_ledger(database_url).begin() as connection:
        connection.execute(delete(ROWS).where(ROWS.c.seq == row))
    assert ledger.verify().broken == row


FORGED: dict[str, bytes | str] = {
    "payload": b"{}",
    "salt": b"x" * 16,
    "payload_hash": b"x" * 32,
    "chain": b"x" * 32,
    "subject": "somebody",
    "row_id": "another",
}


@pytest.mark.parametrize("field", FORGED)
async def test_any_forged_field_of_any_row_is_named_also_after_an_erasure(
    ledger: ConsentLedger, database_url: str, field: str
) -> None:
    await filled(ledger)
    assert ledger.erase_payloads([A]) == 3
    column = ROWS.c[field]
    with open_ledger(database_url).begin() as connection:
        written = {row.seq: row[1] for row in connection.execute(select(ROWS.c.seq, column))}
    assert len(written) == 7
    for seq, before in written.items():
        for value, broken in ((FORGED[field], seq), (before, None)):
            with open_ledger(database_url).begin() as connection:
                connection.execute(update(ROWS).where(ROWS.c.seq == seq).values({column: value}))
            assert ledger.verify().broken == broken


async def test_an_erasure_takes_payload_and_salt_and_the_chain_holds(ledger: ConsentLedger, tmp_path: Path) -> None:
    await filled(ledger)
    assert ledger.erase_payloads([A]) == 3
    assert ledger.erase_payloads([A]) == 0
    found = ledger.verify()
    assert (found.broken, found.erased, found.rows) == (None, 3, 7)
    rows = await ledger.rows([A])
    assert [(row.payload, row.salt) for row in rows[:3]] == [(None, None)] * 3
    held = await ledger.held([A, B])
    assert (held[A].statements, bool(held[B].statements)) == ({}, True)
    await ledger.commit(Commit([draft("later", A, 9)], [A]))
    assert (await ledger.held([A]))[A].statements
    assert ledger.erase_payloads([A]) == 1
    assert ledger.verify().broken is None
