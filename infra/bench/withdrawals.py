"""Withdrawals beside decisions, in each of the ways a withdrawal may reach us, and what was seen of them. Knows HTTP
requests and when they left; judges nothing."""

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import Any

import msgspec
import orjson

from infra.bench.derived import PURPOSE, Derived
from infra.bench.lines import Lines
from infra.bench.people import message
from infra.bench.world import SEED, SMALL

# decisions in all, those around each withdrawal included
DECISIONS_PER_SECOND, WITHDRAWALS_PER_SECOND = 300.0, 10.0
# looking after everybody's derived rows would hold up what is measured beside it
LOOKED_AT = 4
# so long after the answer the page's events have been applied, and decisions are asked for once more
PAGE_SECONDS = 1.0
FIRST = 30_000_000


class Way(msgspec.Struct, frozen=True):
    """One way: the kind of identifier it is said `under`, the kinds decisions are `asked` under, and whether a page
    keeps sending the consent it knew before."""

    name: str
    under: str = "user_id"
    asked: tuple[str, ...] = ("user_id",)
    old_page: bool = False
    worker: bool = True

    @property
    def beside(self) -> float:
        """Decisions a second that belong to no withdrawal: one is asked for before each, and one at each of two
        processes under each kind right after it, and again once an old page was sent."""
        around = 1 + 2 * len(self.asked) * (2 if self.old_page else 1)
        return DECISIONS_PER_SECOND - around * WITHDRAWALS_PER_SECOND


PLAIN = Way("")
LINKED = Way("across links", under="anonymous_id", asked=("user_id", "anonymous_id"))
PAGE = Way("with a page still sending its old consent", old_page=True)
# the last one: nobody starts the worker again
STOPPED = Way("with the stream worker stopped", worker=False)
WAYS = (PLAIN, LINKED, PAGE, STOPPED)


class Seen(msgspec.Struct):
    """What was seen: when each person's withdrawal was answered, and every decision as (person, began, used)."""

    answered: dict[int, float]
    clicks: list[float]
    decisions: list[tuple[int, float, bool]]
    purges: list[float]
    refused: int = 0


def reference(kind: str, person: int) -> str:
    """A person under one of their identifiers."""
    return f"anonymous_id:cookie-{person}" if kind == "anonymous_id" else f"user_id:bench-{person}"


def introduced(person: int) -> dict[str, Any]:
    """The event by which the person's cookie becomes known as theirs."""
    return message("identify", person, FIRST + person, anonymousId=f"cookie-{person}")


class Withdrawing:
    """One way, for `people`, at two API processes; `derived` is looked at where it is given."""

    def __init__(self, way: Way, doors: tuple[Lines, Lines], write_key: str, derived: Derived | None) -> None:
        self._way = way
        self._doors = doors
        self._write_key = write_key
        self._derived = derived
        self.seen = Seen({}, [], [], [])

    async def run(self, people: range) -> Seen:
        """Everybody withdraws once, beside decisions about those who do so about now. Raises `RuntimeError` where a
        request was refused, so that there is no figure."""
        for door in self._doors:
            await self._decide(door, people[0], self._way.asked[0])
        self.seen.decisions.clear()
        over = asyncio.Event()
        beside = asyncio.create_task(self._beside(people, over))
        await asyncio.gather(*[self._later(n, self._withdraw(person)) for n, person in enumerate(people)])
        over.set()
        await beside
        if self.seen.refused:
            raise RuntimeError(f"{self.seen.refused} requests were refused, so there is no figure")
        return self.seen

    async def _later(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        await asyncio.sleep(1.0 + number / WITHDRAWALS_PER_SECOND)
        await work

    async def _beside(self, people: range, over: asyncio.Event) -> None:
        draw = random.Random(SEED)
        began, number, tasks = time.perf_counter(), 0, set[asyncio.Task[None]]()
        while not over.is_set():
            # near those who withdraw now: somewhat before, somewhat after
            now = int((time.perf_counter() - began - 1.0) * WITHDRAWALS_PER_SECOND)
            person = people[min(max(now + draw.randrange(-10, 20), 0), len(people) - 1)]
            kind = self._way.asked[number // 2 % len(self._way.asked)]
            task = asyncio.create_task(self._decide(self._doors[number % 2], person, kind))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(began + number / self._way.beside - time.perf_counter(), 0.0))
        await asyncio.gather(*tasks)

    async def _decide(self, door: Lines, person: int, kind: str) -> None:
        asked = {"profile": reference(kind, person), "placement": SMALL, "context": {"reason": "billing"}}
        began, status, body = await door.ask("POST", "/v1/decisions", orjson.dumps(asked))
        if status >= 300:
            self.seen.refused += 1
            return
        used = PURPOSE in orjson.loads(body)["consent"]["purposes_used"]
        self.seen.decisions.append((person, began, used))

    async def _everywhere(self, person: int) -> None:
        await asyncio.gather(*[self._decide(door, person, kind) for door in self._doors for kind in self._way.asked])

    async def _withdraw(self, person: int) -> None:
        """Decisions just before, the withdrawal at one process, decisions at both as soon as it is answered."""
        here, there = self._doors if person % 2 else self._doors[::-1]
        await self._show_page(here, person)
        await self._decide(there, person, self._way.asked[0])
        body = orjson.dumps({"purposes": {PURPOSE: False, "marketing": False}})
        began, status, _ = await here.ask("PATCH", f"/v1/profiles/{reference(self._way.under, person)}/consent", body)
        now = time.perf_counter()
        if status >= 300:
            self.seen.refused += 1
            return
        self.seen.answered[person] = now
        self.seen.clicks.append((now - began) * 1000)
        await asyncio.gather(self._everywhere(person), self._show_page(there, person))
        if self._derived is not None and person % LOOKED_AT == 0:
            self.seen.purges.append((await self._derived.gone(person) - began) * 1000)
        if self._way.old_page:
            await asyncio.sleep(PAGE_SECONDS)
            await self._everywhere(person)

    async def _show_page(self, door: Lines, person: int) -> None:
        """The page the person has open says that they agree, as it knew before."""
        if not self._way.old_page:
            return
        consent = {"categoryPreferences": {PURPOSE: True, "marketing": True}}
        number = FIRST + 10_000_000 + 2 * person + (person in self.seen.answered)
        page = message("page", person, number, name="Home", context={"consent": consent}, writeKey=self._write_key)
        _, status, _ = await door.ask("POST", "/v1/page", orjson.dumps(page))
        self.seen.refused += status >= 300
