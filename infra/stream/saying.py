"""What events say about consent, on its way from the fold into the ledger and under every identifier it concerns. Knows
who is one person; not how consent is stored."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from engine.consent import DENIED, GRANTED, Statement
from engine.events import Event
from engine.ports import Circumstances, ConsentChange, Consents, People
from infra.redis_store_stream import Said


def said_by(event: Event) -> Iterator[Said]:
    """One answer per purpose that the event carried; an explicit yes covers the identifiers it named."""
    for purpose, yes in (event.consent or {}).items():
        ids = tuple(dict.fromkeys((event.home, *(i.id for i in event.identifiers))))
        covers = ids if yes and event.explicit else ()
        statement = Statement(GRANTED if yes else DENIED, event.at, event.source, event.explicit, covers)
        yield Said(event.home, purpose, statement, yes, event.message_id)


async def covering(said: Sequence[Said], people: People) -> list[Said]:
    """An explicit yes covers everybody who is one person with its home now: it replaces their earlier no."""
    homes = sorted({one.home for one in said if one.statement.covers})
    views = await people.people(homes) if homes else []
    members = {home: view.members for home, view in zip(homes, views, strict=True)}
    return [_covers(one, members[one.home]) if one.statement.covers else one for one in said]


def _covers(said: Said, members: Sequence[str]) -> Said:
    covers = tuple(dict.fromkeys((*said.statement.covers, *members)))
    return msgspec.structs.replace(said, statement=msgspec.structs.replace(said.statement, covers=covers))


async def take_down(heard: Sequence[Said], people: People, consents: Consents) -> None:
    """Write what events said: under their home, and a refusal under every identifier of the person. May be done again:
    the same event is the same row of the ledger."""
    homes = list(dict.fromkeys(one.home for one in heard))
    views = await people.people(homes)
    members = {home: view.members for home, view in zip(homes, views, strict=True)}
    events: dict[tuple[str, str, str], list[Said]] = {}
    for one in heard:
        events.setdefault((one.home, one.statement.source, one.message_id), []).append(one)
    await asyncio.gather(*(_one(consents, said, members[home]) for (home, _, _), said in events.items()))


async def _one(consents: Consents, said: Sequence[Said], members: Sequence[str]) -> None:
    first = said[0]
    changes: dict[str, dict[str, Statement]] = {}
    for one in said:
        changes.setdefault(one.home, {})[one.purpose] = one.statement
        for member in (m for m in members if m != one.home and not one.yes):
            changes.setdefault(member, {})[one.purpose] = msgspec.structs.replace(one.statement, explicit=True)
    told = Circumstances(
        who=first.statement.source,
        how="event",
        evidence={"event": first.message_id, "explicit": str(first.statement.explicit).lower()},
        event=(first.statement.source, first.message_id),
    )
    await consents.write(_as_changes(changes), told)


def _as_changes(statements: Mapping[str, dict[str, Statement]]) -> dict[str, ConsentChange]:
    return {identity: ConsentChange(some) for identity, some in statements.items()}
