"""What every adapter of the profile's ports must do: what a log took can be read as people and as decisions."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from engine.consent import DENIED, Held, Statement
from engine.decision_id import decision_id
from engine.events import Event
from engine.ports import ConsentChange, Consents, Decisions, Log, People
from engine.records import DecisionRecord, decision_event
from tests.infra.stream.bed import START, event, id_of

ANN, BOB, COOKIE = id_of("user_id", "ann"), id_of("user_id", "bob"), id_of("anonymous_id", "cookie")


class World(msgspec.Struct, frozen=True):
    """A log and what can be read of what it took, once `append` has returned."""

    log: Log
    people: People
    consents: Consents
    decisions: Decisions


def made(user: str = "ann") -> DecisionRecord:
    """A decision with every field of its type, none of it true."""
    named = decision_id(id_of("user_id", user), START, b"0123456789")
    blank: dict[str, Any] = {"str": "", "int": 0, "bytes": b"", "dict": {}, "tuple": ()}
    fields = {f.name: getattr(f.type, "__origin__", f.type).__name__ for f in msgspec.structs.fields(DecisionRecord)}
    values = {name: blank[kind] for name, kind in fields.items()}
    told = {"decision_id": named, "profile_id": id_of("user_id", user), "at": START, "answer": {"actions": [1, "a"]}}
    return DecisionRecord(**{**values, **told})


def linked(kind: str, minute: int) -> Event:
    """That ann and the cookie are one person, or are not, as the routes say it."""
    named = [{"type": t, "id": v} for t, v in (("user_id", "ann"), ("anonymous_id", "cookie"))]
    pair = event(minute=minute, userId=None, context={"externalIds": named})
    return msgspec.structs.replace(pair, kind=kind, name=kind, message_id=f"{kind}{minute}", properties={"reason": "x"})


class PeopleSuite:
    """`engine.ports.Log`, `People` and `Decisions` of one installation."""

    def opened(self) -> AbstractAsyncContextManager[World]:
        raise NotImplementedError

    async def test_whom_nobody_knows_stands_alone(self) -> None:
        async with self.opened() as world:
            view = await world.people.person(ANN)
        assert (view.known, view.profile_id, view.members, view.link_version) == (False, ANN, (ANN,), 0)
        assert (view.held, view.stored, view.applied) == ({}, (), 0)

    async def test_what_was_appended_can_be_read(self) -> None:
        async with self.opened() as world:
            await world.log.append([event("identify", traits={"plan": "gold"}), event(minute=1), event(user="bob")])
            await world.log.append_now(event(minute=2))
            ann, bob, nobody = await world.people.people([ANN, BOB, COOKIE])
        assert (ann.profile.state.count, bob.profile.state.count, nobody.known) == (3, 1, False)
        assert ann.profile.state.traits["plan"].value == "gold"
        assert ann.applied > 0

    async def test_the_order_and_repetition_of_the_question_are_kept(self) -> None:
        async with self.opened() as world:
            await world.log.append([event(), event(user="bob")])
            views = await world.people.people([BOB, ANN, BOB])
            assert await world.people.people([]) == []
        assert [view.profile_id for view in views] == [BOB, ANN, BOB]

    async def test_a_message_that_comes_twice_counts_once(self) -> None:
        async with self.opened() as world:
            for _ in range(2):
                await world.log.append([event(), event()])
            assert (await world.people.person(ANN)).profile.state.count == 1

    @pytest.mark.parametrize("asked", [ANN, COOKIE], ids=["by the strongest", "by another"])
    async def test_who_was_seen_together_is_one_person(self, asked: str) -> None:
        async with self.opened() as world:
            await world.log.append([event(userId=None, anonymousId="cookie", messageId="c", minute=3)])
            await world.log.append([event("identify", anonymousId="cookie")])
            view = await world.people.person(asked)
        assert (view.profile_id, view.members) == (ANN, (ANN, COOKIE))
        assert view.link_version > 0
        assert view.profile.state.count == 2

    async def test_unlinking_restores_both(self) -> None:
        async with self.opened() as world:
            await world.log.append([event(), event(userId=None, anonymousId="cookie", messageId="c")])
            alone = [(await world.people.person(i)).profile.state.count for i in (ANN, COOKIE)]
            await world.log.append([linked("link", 1)])
            together = await world.people.person(COOKIE)
            await world.log.append([linked("unlink", 2)])
            apart = await world.people.people([ANN, COOKIE])
        assert (alone, together.members) == ([1, 1], (ANN, COOKIE))
        assert [view.members for view in apart] == [(ANN,), (COOKIE,)]
        assert [view.profile.state.count for view in apart] == [1, 1]
        assert apart[0].link_version > together.link_version

    async def test_a_no_reaches_the_person_and_its_repetition_nobody(self) -> None:
        async with self.opened() as world:
            await world.log.append([event("identify", anonymousId="cookie")])
            await world.log.append([event(minute=1, consent={"marketing": False})])
            first = (await world.people.person(COOKIE)).held
            await world.log.append([event(minute=2, consent={"marketing": False})])
            assert (await world.people.person(COOKIE)).held == first
        assert {i: [s.status for s in held.statements["marketing"]] for i, held in first.items()} == {
            ANN: [DENIED],
            COOKIE: [DENIED],
        }

    async def test_what_the_whole_person_said_is_read_under_any_id(self) -> None:
        async with self.opened() as world:
            await world.log.append([event("identify", anonymousId="cookie")])
            await world.consents.write({ANN: ConsentChange({"marketing": Statement(DENIED, START, "page")})})
            said = await world.people.said([COOKIE, ANN, BOB])
            held = (await world.people.person(ANN)).held
            assert await world.people.said([]) == {}
        assert said[COOKIE][ANN].statements["marketing"][0].status == DENIED
        person = {member: held.get(member, Held()) for member in (ANN, COOKIE)}
        assert said == {COOKIE: person, ANN: person, BOB: {BOB: Held()}}

    async def test_consent_is_read_with_the_person(self) -> None:
        no = Statement(DENIED, START, "page")
        change = ConsentChange({"marketing": no}, settings={"time_zone": "UTC"})
        async with self.opened() as world:
            await world.consents.write({ANN: change})
            view = await world.people.person(ANN)
        assert not view.known
        assert view.held[ANN].statements == {"marketing": (no,)}
        assert view.held[ANN].settings == {"time_zone": "UTC"}

    async def test_a_decision_can_be_found_by_its_id(self) -> None:
        record = made()
        async with self.opened() as world:
            await world.log.append_now(decision_event(record))
            assert await world.decisions.decision(record.decision_id) == record
            assert await world.decisions.decision(made("bob").decision_id) is None
            assert (await world.people.person(ANN)).profile.state.count == 1
