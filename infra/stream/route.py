"""The station at the inbox: what outside producers wrote there takes the same way as what comes over HTTP. Knows the
inbox's envelope; the rules are the gateway's."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import orjson

from engine.attribution import claimed_outcome, outcome_event
from engine.collection import Source, collected
from engine.errors import Rejected
from engine.events import Arrival, Event
from engine.gateway import accept
from engine.ports import Circumstances, Consents, Decisions, Log, People
from engine.records import Position
from engine.stop_messages import StopRules, muted, stop_of, stopped
from infra.config import LiveConfiguration
from infra.rejects import INBOX_LOG, Reject
from infra.stream.shell import persist

INBOX_SOURCE = "inbox"


class Inside(msgspec.Struct, frozen=True):
    """The world as the station uses it. `incarnation` tells this log from others, which have the same places."""

    secret: bytes
    configuration: LiveConfiguration
    log: Log
    people: People
    consents: Consents
    decisions: Decisions
    reject: Callable[[Sequence[Reject]], Awaitable[None]]
    clock: Callable[[], int]
    incarnation: Callable[[], int]


class Router:
    """Reads one inbox record: a JSON event, a list of them, or a batch object with `batch` and optional `source`."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    async def take(self, partition: int, offset: int, value: bytes) -> None:
        """Forward what is good, reject the rest with its place. Taking a record twice changes nothing (law 1)."""
        inside, position = self._inside, Position(INBOX_LOG, partition, offset)
        try:
            items, named = _items(orjson.loads(value))
        except ValueError:
            await persist(inside.reject, [Reject(position, -1, "not_json", "the inbox takes JSON events", value)])
            return
        current = inside.configuration.current
        source = current.source(named)
        arrival = Arrival(
            secret=inside.secret,
            source=named,
            received=inside.clock(),
            categories=source.categories,
            alias_type=source.alias_type,
            consent_mode=current.signals.consent_mode,
        )
        items = [muted(item, current.signals.stop) for item in items]
        ids = [f"inbox:{inside.incarnation()}:{partition}:{offset}:{index}" for index in range(len(items))]
        events, rejections = accept(items, arrival, current.identity, ids)
        if rejections:
            bad = [Reject(position, r.index, r.code, r.message, _alone(items[r.index], named)) for r in rejections]
            await persist(inside.reject, bad)
        await self._stop(events, current.signals.stop)
        kept = await self._kept(events, source)
        if kept:
            await persist(inside.log.append, [*kept, *await self._outcomes(kept, arrival.received)])

    async def _kept(self, events: list[Event], source: Source) -> list[Event]:
        held = await persist(self._inside.consents.held, [event.home for event in events]) if source.asks else {}
        return collected(events, held, source, self._inside.secret).events

    async def _stop(self, events: Sequence[Event], rules: StopRules) -> None:
        """Whoever wrote STOP gets nothing more, whatever becomes of the event itself."""
        for event in events:
            stop = stop_of(event, rules)
            if stop is not None:
                written = stopped(stop, await persist(self._inside.people.person, event.home))
                told = Circumstances(event.source, "stop_message", event=(event.source, event.message_id))
                if written:
                    await persist(self._inside.consents.write, written, told)

    async def _outcomes(self, events: Sequence[Event], received: int) -> list[Event]:
        """An outcome event for every tracked event that says what became of a decision we know."""
        found = []
        for event in events:
            claim = claimed_outcome(event)
            record = await persist(self._inside.decisions.decision, claim.decision_id) if claim is not None else None
            if claim is None or record is None:
                continue
            try:
                found.append(outcome_event(claim, record, self._inside.configuration.current.catalogue, received))
            except Rejected:
                continue
        return found


def _alone(item: Any, source: str) -> bytes:
    return orjson.dumps({"source": source, "batch": [item]})


def _items(body: Any) -> tuple[list[Any], str]:
    if isinstance(body, list):
        return body, INBOX_SOURCE
    if not isinstance(body, dict):
        raise ValueError("not an object")
    source = body.get("source")
    named = source if isinstance(source, str) and source else INBOX_SOURCE
    batch = body.get("batch")
    return (batch, named) if isinstance(batch, list) else ([body], named)
