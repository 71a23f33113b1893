"""The archiver process: drains every partition's tail into the archive, then trims it. What it trims is archived, what
is not archived is in the tail; knows nothing else."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable

from engine.ports import Unavailable
from infra.archive import ARCHIVE_FAILURES, Archive
from infra.archive_tidying import Tidying
from infra.clock import now_ms
from infra.collector import look_seldom
from infra.erasure import Erasing
from infra.erasure_process import open_erasing
from infra.errand import Errand
from infra.redis_store import FAILURES, connect
from infra.redis_store_links import LinkStore
from infra.redis_store_stream import PartitionStore, TailEntry
from infra.settings import Settings
from infra.stepping_back import step_back

log = logging.getLogger("rapport.archiver")
RECORDS_PER_ROUND = 400
# writing tables comes in bursts on every core: at niceness 5 they held up every 20th answer for 20 to 100 ms. A full
# tail holds the fold, so however little is left for archiving, it keeps up
LAST = 19
PAUSE_SECONDS = 1.0
# every append leaves a file per day, and who reads the archive opens each of them
TIDY_AFTER = 300
TIDY_EVERY_MS = 3_600_000
WATCH = (sys.executable, "-m", "infra.watching")


class Archiver:
    """One process drains all partitions; a second one would only find its rows already there. `erasing` None means
    over every store of this installation."""

    def __init__(self, settings: Settings, clock: Callable[[], int], erasing: Erasing | None = None) -> None:
        redis = connect(settings.redis_url)
        self._partitions = settings.partitions
        self._store = PartitionStore(redis)
        self._links = LinkStore(redis, settings.partitions)
        self._erasing = erasing or open_erasing(settings, redis, clock)
        self._archive = Archive(settings.archive, self._erasing.is_suppressed)
        self._clock = clock
        self._tidying = Tidying(settings.archive_retention_hours)
        self._appends, self._tidied = 0, clock()
        # a process of its own: it imports the models and holds what it reads
        self.watching = Errand(WATCH, int(settings.watch_hours * 3_600_000), clock())

    async def round(self) -> int:
        """Archive what waits, oldest first, then erase what is to go; returns the number of records moved."""
        await self._erasing.load()
        entries: list[TailEntry] = []
        for partition in range(self._partitions):
            entries += await self._store.tail(partition, RECORDS_PER_ROUND)
        if entries:
            await asyncio.to_thread(self._archive.append, entries)
            last = {entry.position.partition: entry.position for entry in entries}
            for position in last.values():
                await self._store.trim_tail(position)
        moved = len(entries) + await self._round_links()
        await self._erase()
        self._appends += bool(moved)
        if self._appends >= TIDY_AFTER or self._clock() - self._tidied >= TIDY_EVERY_MS:
            self._appends, self._tidied = 0, self._clock()
            await asyncio.to_thread(lambda: self._tidying.tidy(self._archive.tables, self._clock()))
        return moved

    async def _erase(self) -> None:
        """Erasing waits for whatever does not answer; archiving does not wait for erasing."""
        try:
            await self._erasing.round()
        except (*FAILURES, *ARCHIVE_FAILURES, Unavailable) as error:
            log.warning("an erasure waits for a server or the archive: %s", type(error).__name__)

    async def _round_links(self) -> int:
        records = await self._links.tail(RECORDS_PER_ROUND)
        if records:
            await asyncio.to_thread(self._archive.append_links, records)
            await self._links.trim_tail(records[-1].position)
        return len(records)

    async def run(self, stop: asyncio.Event) -> None:
        """Until asked to stop, then once more until nothing waits."""
        while not stop.is_set():
            moved = await self._careful()
            await self.watching.round(self._clock())
            if moved < RECORDS_PER_ROUND:
                try:
                    await asyncio.wait_for(stop.wait(), PAUSE_SECONDS)
                except TimeoutError:
                    continue
        while await self._careful():
            pass
        await self._erasing.end()
        await self.watching.end()

    async def _careful(self) -> int:
        try:
            return await self.round()
        except (*FAILURES, *ARCHIVE_FAILURES, Unavailable) as error:
            log.warning("waiting for a server or the archive: %s", type(error).__name__)
            return 0


def run_archiver(settings: Settings, clock: Callable[[], int]) -> None:
    """The process: drains until SIGTERM or SIGINT, then empties the tails and ends."""

    async def main() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        await Archiver(settings, clock).run(stop)

    look_seldom()
    step_back(LAST)
    asyncio.run(main())


if __name__ == "__main__":
    run_archiver(Settings(), now_ms)
