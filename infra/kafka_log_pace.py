"""How often a broker is asked for records that looks through all it holds whenever there are some, as the embedded one
does: seldom enough that its looking costs a bounded share of a core, and with enough time to end its look, because one
that is cut short gives nothing, however often it is asked. Knows durations; nothing of what is in a record."""

import asyncio
from collections import deque
from time import perf_counter
from typing import Any

from aiokafka.protocol.fetch import FetchRequest

# after a look that found something, so many times as long as a look takes
SHARE = 2.0
# an answer also takes what the broker waited for something to come: the quickest of so many tells what looking takes
LATEST = 16
LONGEST_PAUSE_MS, LONGEST_WAIT_MS = 100.0, 5_000.0
# after a look that was cut short, so many times as long as it took
ENOUGH = 2.0
# a look on a busy machine takes long, too, and that wears off
EASING = 0.98


class Pace:
    """`wait_ms` is how long the broker may hold the next fetch, `pause_ms` how long nobody asks before it. As given is
    the least of each; both grow with the log."""

    def __init__(self, wait_ms: int, pause_ms: int) -> None:
        self._least_wait, self._least_pause = float(wait_ms), float(pause_ms)
        self.wait_ms, self.pause_ms = self._least_wait, 0.0
        self._finds: deque[float] = deque(maxlen=LATEST)

    def looked(self, took_ms: float, *, found: bool, missed: bool) -> None:
        """A fetch was answered after so long: it `found` records, or `missed` some that are there."""
        self.pause_ms = 0.0
        if found:
            self._finds.append(took_ms)
            self.pause_ms = min(max(SHARE * min(self._finds), self._least_pause), LONGEST_PAUSE_MS)
        wait = ENOUGH * took_ms if missed and not found else EASING * self.wait_ms
        self.wait_ms = min(max(wait, self._least_wait), LONGEST_WAIT_MS)


def keep_pace(consumer: Any, pace: Pace) -> None:
    """Make an aiokafka consumer fetch at this pace; before it is started."""
    send = consumer._client.send

    async def at_pace(node: Any, request: Any, **group: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await send(node, request, **group)
        if pace.pause_ms:
            await asyncio.sleep(pace.pause_ms / 1000)
        began = perf_counter()
        answer = await send(node, request, **group)
        found, missed = seen(request, answer)
        pace.looked((perf_counter() - began) * 1000, found=found, missed=missed)
        # read when the next request is made
        consumer._fetcher._fetch_max_wait_ms = int(pace.wait_ms)
        return answer

    consumer._client.send = at_pace


def seen(request: Any, answer: Any) -> tuple[bool, bool]:
    """Whether any records came, and whether none came of a partition that has more than it was asked for."""
    asked = {(topic, partition): offset for topic, some in request.topics for partition, offset, _ in some}
    found = missed = False
    for topic, partitions in answer.topics or ():
        for partition, _error, end, *more in partitions:
            found = found or bool(more[-1])
            missed = missed or (not more[-1] and end > asked.get((topic, partition), end))
    return found, missed
