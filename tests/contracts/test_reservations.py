"""Promised approaches on every backend: memory, the embedded Redis or Valkey, and the machine's redis-server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import pytest

from engine.ports import PersonView, Reservations
from engine.profile import Contact
from engine.reservation import Cap, Claim, Reserved, Taking
from infra.memory_reservations import MemoryReservations
from infra.processes import RunningServer
from infra.redis_store import connect
from infra.redis_store_reservations import RedisReservations
from tests.servers import database

DATABASE = 11


class ReservationsSuite:
    """`engine.ports.Reservations`: many who claim at once are never granted more than there is room for."""

    NOW = 1_790_000_000_000

    def opened(self) -> AbstractAsyncContextManager[Reservations]:
        raise NotImplementedError

    def view(self, *members: str) -> PersonView:
        return PersonView(members[0], members, 1, (), {})

    def taking(self, number: int, *caps: Cap, who: str = "ann", at: int = NOW, action: str = "call") -> Taking:
        contact = Contact(at, f"d{number}:{action}", "voice", action, "care")
        return Taking(who, at, 3_600_000, (Claim(contact, caps),), ())

    async def promised(self, reservations: Reservations, *members: str, at: int = NOW) -> Reserved:
        return (await reservations.promised([self.view(*members)], at))[0]

    async def test_nobody_is_promised_anything_at_first(self) -> None:
        async with self.opened() as reservations:
            assert await self.promised(reservations, "ann") == Reserved()
            assert await reservations.promised([], self.NOW) == []
            assert await reservations.take([]) == []

    async def test_what_is_granted_is_promised(self) -> None:
        async with self.opened() as reservations:
            one, other = self.taking(1), self.taking(2, who="bob")
            assert await reservations.take([one, other]) == [True, True]
            assert await self.promised(reservations, "ann") == Reserved((one.claims[0].contact,))
            assert await self.promised(reservations, "bob", "ann") == Reserved(
                (other.claims[0].contact,), (one.claims[0].contact,)
            )

    @pytest.mark.parametrize("kind", ["all", "channel", "action", "group"])
    async def test_two_hundred_at_once_get_no_more_than_there_is_room_for(self, kind: str) -> None:
        cap = Cap(kind, 86_400_000, 3)
        async with self.opened() as reservations:
            granted = await asyncio.gather(*(reservations.take([self.taking(n, cap)]) for n in range(200)))
            assert sum(one for [one] in granted) == 3
            assert len((await self.promised(reservations, "ann")).own) == 3

    async def test_many_claims_of_one_call_count_against_each_other(self) -> None:
        cap = Cap("channel", 86_400_000, 2)
        async with self.opened() as reservations:
            assert sum(await reservations.take([self.taking(n, cap) for n in range(50)])) == 2

    async def test_all_claims_of_a_decision_or_none(self) -> None:
        cap = Cap("all", 86_400_000, 1)
        one, other = self.taking(1, cap, action="call"), self.taking(1, cap, action="mail")
        both = msgspec.structs.replace(one, claims=(*one.claims, *other.claims))
        async with self.opened() as reservations:
            assert await reservations.take([both]) == [False]
            assert (await self.promised(reservations, "ann")).own == ()
            assert await reservations.take([one]) == [True]

    async def test_others_do_not_count_against_a_cap_that_is_not_theirs(self) -> None:
        async with self.opened() as reservations:
            assert await reservations.take([self.taking(1, action="mail")]) == [True]
            assert await reservations.take([self.taking(2, Cap("action", 86_400_000, 1))]) == [True]
            assert await reservations.take([self.taking(3, Cap("action", 86_400_000, 1))]) == [False]
            assert await reservations.take([self.taking(4, Cap("group", 86_400_000, 3))]) == [True]

    async def test_a_promise_expires_and_frees(self) -> None:
        cap, later = Cap("all", 86_400_000, 1), self.NOW + 3_600_000
        async with self.opened() as reservations:
            assert await reservations.take([self.taking(1, cap)]) == [True]
            assert await reservations.take([self.taking(2, cap, at=later - 1)]) == [False]
            assert await self.promised(reservations, "ann", at=later) == Reserved()
            assert await reservations.take([self.taking(3, cap, at=later)]) == [True]

    async def test_an_older_promise_leaves_a_shorter_window(self) -> None:
        later = self.NOW + 2000
        async with self.opened() as reservations:
            assert await reservations.take([self.taking(1)]) == [True]
            assert await reservations.take([self.taking(2, Cap("all", 1000, 1), at=later)]) == [True]
            assert await reservations.take([self.taking(3, Cap("all", 3000, 2), at=later)]) == [False]

    async def test_what_is_released_is_free_again(self) -> None:
        cap = Cap("all", 86_400_000, 1)
        async with self.opened() as reservations:
            assert await reservations.take([self.taking(1, cap)]) == [True]
            await reservations.release({"ann": ["d1:call", "d7:call"], "nobody": ["d1:call"], "bob": []})
            assert await self.promised(reservations, "ann") == Reserved()
            assert await reservations.take([self.taking(2, cap)]) == [True]

    async def test_what_became_a_contact_is_not_counted_again(self) -> None:
        cap = Cap("all", 86_400_000, 1)
        async with self.opened() as reservations:
            assert await reservations.take([self.taking(1, cap)]) == [True]
            made = msgspec.structs.replace(self.taking(2, cap), made=("d1:call",))
            assert await reservations.take([made]) == [True]


class TestMemoryReservations(ReservationsSuite):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Reservations]:
        yield MemoryReservations()


class TestRedisReservations(ReservationsSuite):
    server: RunningServer

    @pytest.fixture(autouse=True)
    def _started(self, any_redis: RunningServer) -> None:
        self.server = any_redis

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Reservations]:
        redis = connect(database(self.server.url, DATABASE))
        await redis.flushdb()
        yield RedisReservations(redis, 8)
        await redis.aclose()

    async def test_a_promise_leaves_nothing_behind_when_it_is_over(self) -> None:
        redis = connect(database(self.server.url, DATABASE))
        async with self.opened() as reservations:
            await reservations.take([self.taking(1)])
            [key] = await redis.keys("*")
            assert 0 < await redis.pttl(key) <= 3_600_000
        await redis.aclose()
