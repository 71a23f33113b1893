"""The station at the inbox: what outside producers wrote there takes the same way as what comes over HTTP. Knows the
inbox's envelope; the rules are the gateway's."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import orjson

from engine.attribution import claimed_outcome, outcome_event
from engine.carried import Forms
from engine.collection import Source, collected, is_writable, kept_of_rejected
from engine.consent_signals import forms_of
from engine.errors import Rejected
from engine.events import Arrival, Event
from engine.gateway import accept
from engine.ports import Consents, Decisions, Log, People
from engine.records import Position
from engine.statement import law_of
from engine.stop_messages import StopRules, muted, stop_of, stop_told, stopped
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
            alias_type=source.alias_type,
            consent=forms_of(source.categories, current.signals, current.purposes),
        )
        items = [muted(item, current.signals.stop) for item in items]
        ids = [f"inbox:{inside.incarnation()}:{partition}:{offset}:{index}" for index in range(len(items))]
        events, rejections = accept(items, arrival, current.identity, ids)
        if rejections:
            bad = [
                Reject(position, r.index, r.code, r.message, _alone(items[r.index], named, source, arrival.consent))
                for r in rejections
            ]
            await persist(inside.reject, bad)
        await self._stop(events, current.signals.stop)
        kept = await self._kept(events, source)
        if kept:
            await persist(inside.log.append, [*kept, *await self._outcomes(kept, arrival.received)])

    async def _kept(self, events: list[Event], source: Source) -> list[Event]:
        ids = list({i: None for event in events for i in event.ids})
        said = await persist(self._inside.people.said, ids) if source.asks else {}
        return collected(events, said, source, self._inside.secret).events

    async def _stop(self, events: Sequence[Event], rules: StopRules) -> None:
        """Whoever wrote STOP gets nothing more, whatever becomes of the event itself."""
        for event in events:
            stop = stop_of(event, rules)
            if stop is not None:
                person = await persist(self._inside.people.person, event.home)
                written = stopped(stop, person)
                if written:
                    law = law_of(person, self._inside.configuration.current.purposes)
                    await persist(self._inside.consents.write, written, stop_told(event, law))

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


def _alone(item: Any, named: str, source: Source, forms: Forms) -> bytes:
    kept = kept_of_rejected(item, source, forms) if isinstance(item, dict) else item if is_writable(item) else None
    return orjson.dumps({"source": named, "batch": [kept]})


def _items(body: Any) -> tuple[list[Any], str]:
    if isinstance(body, list):
        return body, INBOX_SOURCE
    if not isinstance(body, dict):
        raise ValueError("not an object")
    source = body.get("source")
    named = source if isinstance(source, str) and source else INBOX_SOURCE
    batch = body.get("batch")
    return (batch, named) if isinstance(batch, list) else ([body], named)
