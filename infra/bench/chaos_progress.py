"""How far the stream of a chaos run has got, asked from outside: believes no process that says it has finished. Knows
watermarks and commits; kills nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiokafka.errors import KafkaError

from infra.kafka_log import describe_topics
from infra.kafka_log_drained import applied, published, taken, until
from infra.redis_store import FAILURES
from infra.redis_store_stream import PartitionStore
from infra.settings import Settings
from infra.topics import CHANGES

PATIENCE_SECONDS, QUIET_SECONDS, LOOKED_SECONDS = 300.0, 1.5, 5.0


class Progress:
    """Of one installation; `last_words` is what its processes said, for when it stands still."""

    def __init__(self, settings: Settings, store: PartitionStore, last_words: Callable[[], str]) -> None:
        self._settings = settings
        self._store = store
        self._last_words = last_words

    async def applied(self) -> int:
        """How many records all partitions have applied; 0 while Redis does not say."""
        try:
            return sum([(await self._store.watermark(p)).offset + 1 for p in range(self._settings.partitions)])
        except FAILURES:
            return 0

    async def refused(self) -> int:
        """How many writes of workers that were behind were refused."""
        return sum([(await self._store.counters(p))["refused"] for p in range(self._settings.partitions)])

    async def folded(self) -> None:
        """Until everything that came in is applied."""
        await self._until(applied, self.applied)

    async def worked_off(self) -> None:
        """Until everything that follows from it is done, too."""
        await self.folded()
        before = -1
        # what follows from the last records, index and notices, comes after their watermark
        while (now := await self._told()) != before:
            before = now
            await asyncio.sleep(QUIET_SECONDS)
        await self._until(published, self._taken)

    async def _until(self, done: Callable[[Settings], Awaitable[bool]], reached: Callable[[], Awaitable[int]]) -> None:
        """Until it is done. A busy machine is slow, not wrong: the stream stands still only where nothing moves."""
        stood, since = -1, time.monotonic()
        while not await until(done, self._settings, LOOKED_SECONDS):
            now = await reached()
            if now != stood:
                stood, since = now, time.monotonic()
            elif time.monotonic() - since > PATIENCE_SECONDS:
                raise RuntimeError(f"{done.__name__}: the stream stands at {now}:\n{self._last_words()}")

    async def _taken(self) -> int:
        """How many notices the publisher has taken; -1 while the broker does not say."""
        try:
            return await taken(self._settings)
        except KafkaError:
            return -1

    async def _told(self) -> int:
        """How many notices of changes there are."""
        topics = await describe_topics(self._settings.kafka_url, self._settings.prefix)
        return sum(records for name, _, records in topics if name.endswith(CHANGES))
