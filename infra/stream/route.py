"""The station at the inbox: what outside producers wrote there takes the same way as what comes over HTTP. Knows the
inbox's envelope; the rules are the gateway's."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson

from engine.events import Arrival
from engine.gateway import accept
from engine.ports import Log
from engine.records import Position
from infra.config import LiveConfiguration
from infra.rejects import Reject
from infra.settings import Settings
from infra.stream.shell import persist

INBOX_SOURCE = "inbox"


class Router:
    """Reads one inbox record: a JSON event, a list of them, or a batch object with `batch` and optional `source`."""

    def __init__(
        self,
        settings: Settings,
        configuration: LiveConfiguration,
        log: Log,
        reject: Callable[[Sequence[Reject]], Awaitable[None]],
        clock: Callable[[], int],
    ) -> None:
        self._secret = settings.key()
        self._configuration = configuration
        self._log = log
        self._reject = reject
        self._clock = clock

    async def take(self, partition: int, offset: int, value: bytes) -> None:
        """Forward what is good, reject the rest with its place. Taking a record twice changes nothing (law 1)."""
        position = Position(0, partition, offset)
        try:
            items, source = _items(orjson.loads(value))
        except (orjson.JSONDecodeError, ValueError):
            await persist(self._reject, [Reject(position, -1, "not_json", "the inbox takes JSON events", value)])
            return
        settings = self._configuration.current.sources.get(source)
        arrival = Arrival(
            secret=self._secret,
            source=source,
            received=self._clock(),
            categories=settings.categories if settings else {},
            alias_type=settings.alias_type if settings else "anonymous_id",
        )
        ids = [f"inbox:{partition}:{offset}:{index}" for index in range(len(items))]
        events, rejections = accept(items, arrival, self._configuration.current.identity, ids)
        if rejections:
            bad = [Reject(position, r.index, r.code, r.message, orjson.dumps(items[r.index])) for r in rejections]
            await persist(self._reject, bad)
        if events:
            await persist(self._log.append, events)


def _items(body: Any) -> tuple[list[Any], str]:
    if isinstance(body, list):
        return body, INBOX_SOURCE
    if not isinstance(body, dict):
        raise ValueError("not an object")
    source = body.get("source")
    named = source if isinstance(source, str) and source else INBOX_SOURCE
    batch = body.get("batch")
    return (batch, named) if isinstance(batch, list) else ([body], named)
