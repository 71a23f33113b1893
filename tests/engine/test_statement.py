"""What a new answer writes: a no everywhere, a yes once and over all, and silence never widens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.consent import Held, Purpose, Purposes, resolve
from engine.ports import ConsentChange
from engine.signals import DAY
from engine.statement import Subject, Wish, applied, changes, outlook, replacing, widened

POLICY = Purposes(
    {
        "service": Purpose("service", basis="contract"),
        "marketing": Purpose("marketing", default={"US": True}),
        "analytics": Purpose("analytics", basis="legitimate_interests", default={"GDPR": True, "US": True}),
    }
)
MEMBERS = ("a" * 16, "b" * 16, "c" * 16)
groups = st.sampled_from([MEMBERS, MEMBERS[:1], MEMBERS[1:]])
answers = st.dictionaries(st.sampled_from(["marketing", "analytics"]), st.booleans(), min_size=1)
namings = st.dictionaries(st.sampled_from(["marketing", "analytics"]), st.none() | st.booleans())


def subject(held: dict[str, Held], members: tuple[str, ...] = MEMBERS) -> Subject:
    mine = {m: h for m, h in held.items() if m in members}
    return Subject(members, mine, resolve(mine, POLICY))


def write(held: dict[str, Held], written: dict[str, ConsentChange]) -> dict[str, Held]:
    return {**held, **{m: applied(held.get(m, Held()), change) for m, change in written.items()}}


def say(held: dict[str, Held], wish: Wish, members: tuple[str, ...] = MEMBERS) -> dict[str, Held]:
    return write(held, changes(subject(held, members), wish))


@given(st.lists(st.tuples(answers, st.integers(0, 50), groups), max_size=8))
def test_the_last_answer_of_a_person_counts_whatever_the_clocks_say(
    said: list[tuple[dict[str, bool], int, tuple[str, ...]]],
) -> None:
    held: dict[str, Held] = {}
    for purposes, at, members in said:
        held = say(held, Wish("test", at, purposes), members)
        consent = subject(held, members).consent
        assert {p: consent.allows(p) for p in purposes} == purposes


@given(st.lists(answers, max_size=6), answers)
def test_unlinking_after_a_no_widens_for_no_member(before: list[dict[str, bool]], last: dict[str, bool]) -> None:
    held: dict[str, Held] = {}
    for at, purposes in enumerate([*before, last]):
        held = say(held, Wish("test", at, purposes))
    together = subject(held).consent
    for member in MEMBERS:
        alone = subject(held, (member,)).consent
        assert not any(alone.allows(p) and not together.allows(p) for p, yes in last.items() if not yes)


@given(st.lists(answers, max_size=5), answers)
def test_saying_the_same_again_writes_nothing(before: list[dict[str, bool]], last: dict[str, bool]) -> None:
    held: dict[str, Held] = {}
    for at, purposes in enumerate([*before, last]):
        held = say(held, Wish("test", at, purposes))
    assert changes(subject(held), Wish("test", 99, last)) == {}


@given(st.lists(answers, max_size=5), namings)
def test_a_whole_document_widens_only_what_it_says_yes_to(
    before: list[dict[str, bool]], named: dict[str, bool | None]
) -> None:
    held: dict[str, Held] = {}
    for at, purposes in enumerate(before):
        held = say(held, Wish("test", at, purposes))
    old = subject(held).consent
    wish = Wish("test", 99, replacing(old, named))
    new = outlook(subject(held), changes(subject(held), wish), POLICY)
    opened = {p for p in new.answers if new.allows(p) and not old.allows(p)}
    assert opened <= {p for p, yes in named.items() if yes}
    assert widened(old, new) == bool(opened)


@pytest.mark.parametrize(("purpose", "status"), [("marketing", "denied"), ("analytics", "objected")])
def test_a_no_to_what_was_never_granted_is_named_after_its_basis(purpose: str, status: str) -> None:
    consent = subject(say({}, Wish("test", 1, {purpose: False}))).consent
    assert consent.answers[purpose].status == status


def test_a_contract_takes_no_statement() -> None:
    assert changes(subject({}), Wish("test", 1, {"service": True})) == {}


def test_a_preference_that_is_lifted_widens() -> None:
    refused = say({}, Wish("test", 1, preferences={"email": {"offers": False}}))
    before = subject(refused)
    lifted = changes(before, Wish("test", 2, preferences={"email": {"offers": True}}))
    assert set(lifted) == set(MEMBERS)
    assert widened(before.consent, outlook(before, lifted, POLICY))
    assert not widened(outlook(before, lifted, POLICY), before.consent)


def test_a_no_after_a_yes_to_what_rests_on_legitimate_interests_is_an_objection() -> None:
    agreed = say({}, Wish("test", 1, {"analytics": True}))
    consent = subject(say(agreed, Wish("test", 2, {"analytics": False}))).consent
    assert consent.answers["analytics"].status == "objected"


def test_a_yes_to_another_text_is_a_statement() -> None:
    agreed = say({}, Wish("test", 1, {"marketing": True}, text_version="2026"))
    assert changes(subject(agreed), Wish("test", 2, {"marketing": True})) == {}
    assert changes(subject(agreed), Wish("test", 2, {"marketing": True}, text_version="2026")) == {}
    again = changes(subject(agreed), Wish("test", 2, {"marketing": True}, text_version="2027"))
    assert [s.text_version for c in again.values() for s in c.statements.values()] == ["2027"]


def test_a_yes_that_has_lived_half_its_time_may_be_prolonged() -> None:
    policy = Purposes({"marketing": Purpose("marketing", valid_days=10)})
    agreed = say({}, Wish("test", 1, {"marketing": True}, text_version="2026"))

    def asked(at: int, text: str = "2026") -> dict[str, ConsentChange]:
        known = Subject(MEMBERS, agreed, resolve(agreed, policy, at=at))
        return changes(known, Wish("test", at, {"marketing": True}, text_version=text))

    assert asked(5 * DAY) == {}
    (change,) = asked(5 * DAY + 1).values()
    assert change.statements["marketing"].at == 5 * DAY + 1
    assert resolve(write(agreed, asked(6 * DAY)), policy, at=15 * DAY).allows("marketing")
    assert not resolve(agreed, policy, at=15 * DAY).allows("marketing")
    # whoever does not say what was read prolongs nothing, and takes no proof away
    assert asked(6 * DAY, text="") == {}


def test_an_older_agreement_handed_in_later_says_nothing_new() -> None:
    """Two devices, two strings: neither is news to the other's."""
    held = say({}, Wish("page", 100, {"marketing": True}, text_version="2026-01"))
    old = Wish("tcf", 200, {"marketing": True}, text_version="gvl-100", agreed=50)
    assert changes(subject(held), old) == {}
    newer = Wish("tcf", 200, {"marketing": True}, text_version="gvl-101", agreed=150)
    held = say(held, newer)
    assert changes(subject(held), newer) == {}
    assert changes(subject(held), old) == {}


def test_a_yes_is_said_once_also_while_an_objection_reaches_it() -> None:
    policy = Purposes(
        {
            "marketing": Purpose("marketing", "legitimate_interests", objection_includes=("profiling",)),
            "profiling": Purpose("profiling"),
        }
    )
    held: dict[str, Held] = {}
    rows = []
    for at, purposes in enumerate([{"marketing": False}, {"profiling": True}, {"profiling": True}], 1):
        known = Subject(MEMBERS, held, resolve(held, policy))
        rows.append(changes(known, Wish("test", at, purposes)))
        held = write(held, rows[-1])
    assert [len(written) for written in rows] == [3, 1, 0]
    assert not resolve(held, policy).allows("profiling")


def test_what_was_agreed_earlier_is_not_agreed_when_it_is_handed_in() -> None:
    written = changes(subject({}), Wish("test", 9, {"marketing": True, "analytics": False}, agreed=4))
    assert {p: s.at for c in written.values() for p, s in c.statements.items()} == {"marketing": 4, "analytics": 9}
