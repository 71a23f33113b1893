"""What happens between reading a request's items and answering it: accept, ask what may be kept, tie outcomes to their
decisions, append, count. Knows ports and the engine; nothing of how the items were sent."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec
import orjson
from starlette.responses import Response

from api.deps import World
from api.errors import Problem
from api.metrics import ACCEPTED, REJECTED, UNATTRIBUTED, WITHHELD
from engine.attribution import claimed_outcome, outcome_event
from engine.catalog import Catalogue
from engine.collection import Collected, Source, collected, kept_of_rejected
from engine.consent_signals import SignalRules, forms_of, refused_by_browser
from engine.errors import Rejected
from engine.events import Arrival, Event, parse_time
from engine.gateway import Rejection, accept
from engine.outcome import Outcome
from engine.ports import ApiKey, Refused
from engine.records import DecisionRecord
from engine.statement import law_of
from engine.stop_messages import muted, stop_of, stop_told, stopped

Items = Sequence[dict[str, Any] | Rejected]
LOOKUPS = 8


class Delivery(msgspec.Struct, frozen=True):
    """One request's items and what its root and headers say about them; `gpc` is Global Privacy Control."""

    items: Items
    sent_at: Any = None
    strict: bool = False
    gpc: bool = False


def _sent(value: Any) -> int | None:
    try:
        return parse_time(value)
    except Rejected:
        return None


def _arrival(world: World, key: ApiKey, source: Source, sent_at: Any) -> Arrival:
    return Arrival(
        secret=world.secret,
        source=key.source or key.name,
        received=world.clock(),
        sent_at=_sent(sent_at),
        alias_type=source.alias_type,
        consent=forms_of(source.categories, world.now.signals, world.now.purposes),
    )


def _fallback_ids(items: Items) -> list[str]:
    return ["" if isinstance(item, dict) and item.get("messageId") else str(uuid4()) for item in items]


async def _kept(world: World, events: list[Event], source: Source) -> Collected:
    if not source.asks or not events:
        return Collected(events)
    said = await world.people.said(list({i: None for event in events for i in event.ids}))
    return collected(events, said, source, world.secret)


async def _records(world: World, claims: Sequence[Outcome]) -> dict[str, DecisionRecord | None]:
    """Each named decision, looked up once; a few at a time, because an unknown one is looked for in the archive."""
    gate = asyncio.Semaphore(LOOKUPS)

    async def one(named: str) -> DecisionRecord | None:
        async with gate:
            return await world.decisions.decision(named)

    names = list({claim.decision_id: None for claim in claims})
    return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))


async def _outcomes(world: World, events: Sequence[Event], received: int) -> list[Event]:
    """An outcome event for every tracked event that says what became of a decision we know."""
    claimed = [claimed_outcome(e) for e in events if e.kind == "track" and "decision_id" in e.properties]
    claims = [outcome for outcome in claimed if outcome is not None]
    records = await _records(world, claims) if claims else {}
    found = [_attributed(claim, records[claim.decision_id], world.now.catalogue, received) for claim in claims]
    UNATTRIBUTED.inc(found.count(None))
    return [event for event in found if event is not None]


def _attributed(claim: Outcome, record: DecisionRecord | None, catalogue: Catalogue, received: int) -> Event | None:
    if record is None:
        return None
    try:
        return outcome_event(claim, record, catalogue, received)
    except Rejected:
        return None


async def _stop(world: World, events: Sequence[Event], rules: SignalRules) -> None:
    """Whoever wrote STOP gets nothing more from now on, whatever becomes of the event itself."""
    for event in events:
        stop = stop_of(event, rules.stop)
        if stop is not None:
            person = await world.people.person(event.home)
            written = stopped(stop, person)
            if written:
                await world.consents.write(written, stop_told(event, law_of(person, world.now.purposes)))


def _count(source: str, accepted: int, rejections: Sequence[Rejection], verdict: Collected) -> None:
    ACCEPTED.labels(source).inc(accepted)
    for rejection in rejections:
        REJECTED.labels(source, rejection.code).inc()
    for name, count in (("dropped", verdict.dropped), ("pseudonymised", verdict.pseudonymised)):
        if count:
            WITHHELD.labels(source, name).inc(count)


def _listed(rejections: Sequence[Rejection]) -> list[dict[str, Any]]:
    return [{"index": r.index, "messageId": r.message_id, "code": r.code, "message": r.message} for r in rejections]


async def take(world: World, key: ApiKey, delivery: Delivery) -> dict[str, Any]:
    """Accept what is good of a delivery. Returns the answer's members, after the log has acknowledged everything that
    was accepted; an event whose collection was refused counts as accepted and is not stored.

    Raises a 400 for any rejection in strict mode (nothing is accepted then), and `Unavailable`.
    """
    current = world.now
    source = current.source(key.source or key.name)
    arrival = _arrival(world, key, source, delivery.sent_at)
    items = [muted(item, current.signals.stop) for item in delivery.items]
    events, rejections = accept(items, arrival, current.identity, _fallback_ids(items))
    if rejections and delivery.strict:
        _count(arrival.source, 0, rejections, Collected([]))
        message = "strict mode: nothing was accepted, because events of this request are not valid; `errors` lists them"
        raise Problem(400, "rejected_events", message, _listed(rejections))
    browser = current.signals.opt_out if delivery.gpc else ()
    if browser:
        events = [refused_by_browser(event, current.signals) for event in events]
    await _stop(world, events, current.signals)
    verdict = await _kept(world, events, source)
    outcomes = await _outcomes(world, verdict.events, arrival.received)
    if rejections:
        await world.rejects.keep([_refused(arrival, source, items[r.index], r, browser) for r in rejections])
    if verdict.events:
        await world.log.append([*verdict.events, *outcomes])
    _count(arrival.source, len(events), rejections, verdict)
    return {"success": True, "accepted": len(events), "rejected": _listed(rejections)}


def _refused(
    arrival: Arrival, source: Source, item: dict[str, Any] | Rejected, rejection: Rejection, browser: Sequence[str]
) -> Refused:
    kept = kept_of_rejected(item, source, arrival.consent, browser) if isinstance(item, dict) else None
    event = b"" if kept is None else orjson.dumps(kept)
    return Refused(arrival.source, rejection.code, rejection.message, event)


def answered(members: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(orjson.dumps(members), 200, headers, "application/json")
