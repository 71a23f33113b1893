"""The ledger as values: one chain, every tampering named, erasure leaves it whole, and what follows from its rows."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.consent import DENIED, GRANTED, OBJECTED, Held, Purpose, Purposes, Statement
from engine.ledger import (
    ERASURE,
    Damaged,
    Draft,
    Head,
    Row,
    Saying,
    admitted,
    appended,
    held_of,
    held_or_closed,
    narrowing,
    refused_by,
    refusing,
    row_of_event,
    verify,
)
from engine.ports import ConsentChange, Stale
from engine.statement import spread

NO, YES = Statement(DENIED, 10, "page"), Statement(GRANTED, 20, "page", True, ("a", "b"))
POLICY = Purposes(
    {
        "service": Purpose("service", "contract"),
        "marketing": Purpose("marketing"),
        "ours": Purpose("ours", "legitimate_interests", objection_includes=("profiling", "service")),
        "profiling": Purpose("profiling"),
    }
)


def saying(statement: Statement = NO, how: str = "request") -> Saying:
    return Saying(1, "desk", how, ConsentChange({"marketing": statement}), "GDPR", {"form": "7"})


def chained(drafts: list[Draft]) -> tuple[list[Row], Head]:
    head, rows = Head(), []
    for n, draft in enumerate(drafts):
        row = appended(head, draft, n.to_bytes(16, "big"))
        rows.append(row)
        head = Head(row.seq, row.chain)
    return rows, head


def five() -> tuple[list[Row], Head]:
    return chained([Draft(f"r{n}", "ab"[n % 2], saying()) for n in range(5)])


def erased(rows: list[Row], subject: str) -> list[Row]:
    return [msgspec.structs.replace(r, payload=None, salt=None) if r.subject == subject else r for r in rows]


def test_an_untouched_chain_holds() -> None:
    rows, head = five()
    assert verify(rows, head) == verify(iter(rows), head)
    assert (verify(rows, head).rows, verify(rows, head).broken) == (5, None)
    assert verify([], Head()).broken is None


TAMPERINGS: dict[str, Callable[[list[Row]], list[Row]]] = {
    "payload": lambda rows: _with(rows, 2, payload=(rows[2].payload or b"").replace(b"denied", b"grante")),
    "salt": lambda rows: _with(rows, 2, salt=b"x" * 16),
    "subject": lambda rows: _with(rows, 2, subject="somebody else"),
    "row id": lambda rows: _with(rows, 2, row_id="another"),
    "hash": lambda rows: _with(rows, 2, payload_hash=b"x" * 32),
    "chain": lambda rows: _with(rows, 2, chain=b"x" * 32),
    "half erased": lambda rows: _with(rows, 2, salt=None),
    "emptied without an erasure": lambda rows: _with(rows, 2, payload=None, salt=None),
    "removed": lambda rows: [*rows[:2], *rows[3:]],
    "exchanged": lambda rows: [*rows[:2], rows[3], rows[2], rows[4]],
}  # fmt: skip


def _with(rows: list[Row], at: int, **fields: object) -> list[Row]:
    return [*rows[:at], msgspec.structs.replace(rows[at], **fields), *rows[at + 1 :]]


@pytest.mark.parametrize("how", TAMPERINGS)
def test_tampering_is_found_and_the_row_named(how: str) -> None:
    rows, head = five()
    found = verify(TAMPERINGS[how](rows), head)
    assert found.broken == 3
    assert found.problem


@given(st.integers(0, 4), st.integers(0, 31), st.integers(1, 255), st.sampled_from(["payload_hash", "chain"]))
def test_any_flipped_byte_of_a_hash_is_found(at: int, place: int, flip: int, field: str) -> None:
    rows, head = five()
    value = bytearray(getattr(rows[at], field))
    value[place] ^= flip
    assert verify(_with(rows, at, **{field: bytes(value)}), head).broken == at + 1


def test_rows_cut_off_at_the_end_are_missed() -> None:
    rows, head = five()
    found = verify(rows[:4], head)
    assert (found.broken, "5 were written" in found.problem) == (5, True)


def test_a_rewritten_past_needs_the_whole_chain() -> None:
    """Who changes a row and computes its own hashes anew is found at the next row."""
    rows, head = five()
    before = Head(rows[1].seq, rows[1].chain)
    forged = appended(before, Draft("r2", "a", saying(YES)), b"y" * 16)
    assert verify([*rows[:2], forged, *rows[3:]], head).broken == 4


def test_after_an_erasure_the_chain_still_holds() -> None:
    rows, head = five()
    note = appended(head, Draft("x1", "a", Saying(2, "erasure", ERASURE, ConsentChange())), b"z" * 16)
    found = verify([*erased(rows, "a"), note], Head(note.seq, note.chain))
    assert (found.broken, found.erased, found.rows) == (None, 3, 6)
    assert held_of([*erased(rows, "a"), note])["a"] == Held(version=6)


def test_what_is_held_follows_from_the_rows() -> None:
    rows, _ = chained([Draft("1", "a", saying(NO)), Draft("2", "a", saying(YES)), Draft("3", "b", saying(NO))])
    held = held_of(rows)
    assert held["a"] == Held({"marketing": (YES,)}, version=2)
    assert held["b"] == Held({"marketing": (NO,)}, version=3)


def test_only_what_changes_something_becomes_a_row() -> None:
    first = Draft("1", "a", saying())
    assert admitted({}, [first], None, frozenset()) == [first]
    assert admitted({}, [first], None, frozenset({"1"})) == []
    held = held_of(chained([first])[0])
    assert admitted(held, [Draft("2", "a", saying())], None, frozenset()) == []
    assert [d.row_id for d in admitted({}, [first, Draft("2", "a", saying())], None, frozenset())] == ["1"]


def test_a_refusal_that_a_request_makes_outlives_a_grant_from_a_faster_clock() -> None:
    held = held_of(chained([Draft("1", "a", saying(YES))])[0])
    (row,) = admitted(held, [Draft("2", "a", saying(NO))], None, frozenset())
    assert row.saying.change.statements["marketing"].at > YES.at
    assert admitted(held, [Draft("2", "a", saying(NO), of_event=True)], None, frozenset()) == []


def test_who_read_an_older_version_changes_nothing() -> None:
    held = held_of(chained([Draft("1", "a", saying(NO))])[0])
    with pytest.raises(Stale):
        admitted(held, [Draft("2", "a", saying(YES))], {"a": 0}, frozenset())
    with pytest.raises(Stale):
        admitted(held, [Draft("2", "a", saying(YES))], {"b": 4}, frozenset())
    assert len(admitted(held, [Draft("2", "a", saying(YES))], {"a": 1, "b": 0}, frozenset())) == 1


def test_the_part_that_takes_away() -> None:
    change = ConsentChange(
        {"marketing": NO, "analytics": YES},
        {"email": {"news": False, "all": True}, "sms": {"all": True}},
        {"language": "de", "restriction": "1"},
    )
    expected = ConsentChange({"marketing": NO}, {"email": {"news": False}}, {"restriction": "1"})
    assert narrowing(change) == expected
    assert narrowing(ConsentChange({"analytics": YES}, {"sms": {"all": True}}, {"language": "de"})) is None


def test_the_same_event_is_the_same_row_and_no_other() -> None:
    one = row_of_event("web", "m1", "a")
    assert one == row_of_event("web", "m1", "a")
    assert (
        len({one, row_of_event("web", "m1", "b"), row_of_event("we", "bm1", "a"), row_of_event("app", "m1", "a")}) == 4
    )


def test_whose_data_is_restricted_refuses_everything() -> None:
    held = {"a": Held(settings={"restriction": "1"}), "b": Held({"marketing": (NO,)}), "c": Held()}
    assert refused_by(held, POLICY) == {"a": {"restriction"}, "b": {"marketing"}}


def test_a_yes_that_covers_it_replaces_what_an_identifier_refused() -> None:
    held = {"a": Held({"marketing": (YES,)}), "b": Held({"marketing": (NO,)})}
    assert refusing(held, POLICY) == frozenset()
    assert refusing({"b": held["b"]}, POLICY) == {"marketing"}
    assert refusing({**held, "c": Held(settings={"restriction": "1"})}, POLICY) == {"restriction"}


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"ours": NO}, {"ours", "profiling"}),
        ({"ours": NO, "profiling": YES}, {"ours", "profiling"}),
        ({"marketing": Statement(OBJECTED, 10, "page")}, {"marketing"}),
        ({"service": NO}, set()),
        ({"profiling": NO}, {"profiling"}),
        ({"no purpose any more": NO}, {"no purpose any more"}),
    ],
)
def test_what_is_refused_is_judged_as_consent_judges_it(said: dict[str, Statement], refused: set[str]) -> None:
    held = {"a": Held({purpose: (statement,) for purpose, statement in said.items()})}
    assert refusing(held, POLICY) == refused


def test_whose_row_cannot_be_read_is_restricted_and_nobody_else() -> None:
    rows, head = [], Head()
    for number, subject in enumerate(("a", "b", "a")):
        change = ConsentChange({"marketing": NO}) if number < 2 else ConsentChange(settings={"restriction": ""})
        rows.append(appended(head, Draft(f"r{number}", subject, Saying(1, "x", "request", change)), b"s" * 16))
        head = Head(rows[-1].seq, rows[-1].chain)
    rows[0] = msgspec.structs.replace(rows[0], payload=b"{")
    with pytest.raises(Damaged):
        held_of(rows)
    found = held_or_closed(rows)
    assert (found["a"].settings, found["a"].version) == ({"closed": "1"}, 3)
    assert refused_by(found, POLICY) == {"a": {"restriction"}, "b": {"marketing"}}
    assert spread(["a", "b"], {"a": found["a"], "b": Held()}) == {}
    assert (found["b"].statements, found["b"].settings) == ({"marketing": (NO,)}, {})
