"""Sees to it that what was published and went with Redis' last second is published again: how far notices were taken is
kept beside what follows from them, and who begins, or meets a Redis that restarted, goes back to a few seconds before.
Knows offsets and runs of a server; nothing of what is published."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import msgspec

from infra.redis_store import Runs
from infra.redis_store_published import Marks, PublishedMarks
from infra.stream.shell import persist
from infra.stream.unbroken import Unbroken

log = logging.getLogger("rapport.publish")
# looks, a second apart: longer than a server lets what it took wait for its file, or for a replica
LOOKS_BACK = 5
# of a later log what stands in Redis may have come by one before
FIRST_LOG = 1


class Look(msgspec.Struct, frozen=True):
    """How far notices had been taken at one moment, and who was published since the look before without a notice."""

    taken: Mapping[int, int]
    beside: Sequence[str] = ()


class Publish(msgspec.Struct, frozen=True):
    """What republishing calls: `take` publishes whom these notices name, `derive` these ids, `anew` hears that what is
    no person's may be lost too."""

    take: Callable[[Sequence[bytes]], Awaitable[None]]
    derive: Callable[[Sequence[str]], Awaitable[None]]
    anew: Callable[[], None]


class Republishing:
    """Between the agent and whoever publishes."""

    def __init__(self, publish: Publish, notices: Unbroken, marks: PublishedMarks, runs: Runs) -> None:
        self._publish = publish
        self._notices = notices
        self._marks = marks
        self._runs = runs
        self._log = 0
        self._met: set[str] = set()
        self._began: dict[int, int] = {}
        self._taken: dict[int, int] = {}
        self._written: Marks | None = None
        self._looks: deque[Look] = deque(maxlen=LOOKS_BACK + 1)
        self._beside: list[str] = []
        self._untouched: set[int] = set()
        self._alone = asyncio.Lock()

    @property
    def partitions(self) -> Collection[int]:
        """Those that are ours."""
        return self._began.keys()

    def untouched(self) -> Collection[int]:
        """Partitions that came to us since this was last asked and of which nothing was ever taken: everybody there has
        a notice that is still to be taken."""
        found, self._untouched = self._untouched, set()
        return found

    async def begin(self, incarnation: int, committed: Mapping[int, int | None]) -> dict[int, int]:
        """These partitions are ours now. Returns from where on to take those of them that have to be taken once more
        from before what the group committed."""
        earlier = (await persist(self._marks.read, incarnation)).earlier
        if not self._began:
            self._met |= self._runs.seen
        self._log = incarnation
        if incarnation == FIRST_LOG:
            self._untouched |= {partition for partition, at in committed.items() if not at}
        self._notices.begin(committed)
        back = {p: earlier[p] for p, at in committed.items() if p in earlier and earlier[p] < (at or 0)}
        self._notices.restart(back)
        self._began = {partition: back.get(partition, at or 0) for partition, at in committed.items()}
        self._taken = dict(self._began)
        return back

    async def take(self, values: Sequence[bytes]) -> None:
        """Publish whom these notices name."""
        async with self._alone:
            await self._publish.take(values)
            self._taken = {partition: self._notices.reached(partition) for partition in self._began}
            await self._settle()

    async def beside(self, ids: Sequence[str]) -> None:
        """Publish these, though no notice names them."""
        # both times: what is lost while it is written has to be known, and what is lost after
        self._beside += ids
        await self._publish.derive(ids)
        self._beside += ids

    async def look(self) -> None:
        """Once a second, and only when all of Redis answers: what was taken by now is safe some looks later."""
        await persist(self._runs.ask)
        async with self._alone:
            if self._began:
                await self._settle()
                self._looks.append(Look(dict(self._taken), self._beside))
            self._beside = []

    async def _settle(self) -> None:
        """Move the marks on, unless something before them may be missing: then that comes first."""
        while True:
            while new := self._runs.seen - self._met:
                await self._again()
                self._met |= new
            marks = Marks(self._taken, {partition: self._earlier(partition) for partition in self._began})
            if marks == self._written:
                return
            await persist(self._marks.move, self._log, marks)
            self._written = marks

    async def _again(self) -> None:
        log.warning("another run of Redis; what was published in the last seconds is published once more")
        self._written = None
        self._publish.anew()
        beside = [identity for look in self._looks for identity in look.beside] + self._beside
        await self._publish.derive(list(dict.fromkeys(beside)))
        for partition, end in list(self._taken.items()):
            await self._publish.take(await self._notices.between(partition, self._earlier(partition), end))

    def _earlier(self, partition: int) -> int:
        began = self._began.get(partition, 0)
        return self._looks[0].taken.get(partition, began) if len(self._looks) > LOOKS_BACK else began
