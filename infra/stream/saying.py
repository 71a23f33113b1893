"""What events say about consent, on its way from the fold into the ledger and under every identifier it concerns. Knows
who is one person; not how consent is stored."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from engine.consent import Purposes, Statement
from engine.events import Event
from engine.ports import Circumstances, ConsentChange, Consents, People, PersonView
from engine.statement import carried_by, law_of, placed
from infra.consent_writing import going_on
from infra.redis_store_stream import Said


def said_by(event: Event) -> Iterator[Said]:
    """One answer per purpose that the event carried, and per purpose that the browser refused."""
    for one in carried_by(event):
        yield Said(event.home, one.purpose, one.statement, one.yes, event.message_id, event.ids, one.memory)


async def covering(said: Sequence[Said], people: People) -> list[Said]:
    """An explicit yes covers everybody who is one person with its home now: it replaces their earlier no."""
    homes = sorted({one.home for one in said if one.statement.covers})
    views = await people.people(homes) if homes else []
    members = {home: view.members for home, view in zip(homes, views, strict=True)}
    return [_covers(one, members[one.home]) if one.statement.covers else one for one in said]


def _covers(said: Said, members: Sequence[str]) -> Said:
    covers = tuple(dict.fromkeys((*said.statement.covers, *members)))
    return msgspec.structs.replace(said, statement=msgspec.structs.replace(said.statement, covers=covers))


async def take_down(heard: Sequence[Said], people: People, consents: Consents, policy: Purposes) -> list[str]:
    """Write what events said: under their home, and a refusal under every identifier of the person and of the event,
    who may be other people. Returns under whom; may be done again: the same event is the same row of the ledger."""
    homes = list(dict.fromkeys(one.home for one in heard))
    views = await people.people(homes)
    persons = dict(zip(homes, views, strict=True))
    events: dict[tuple[str, str, str], list[Said]] = {}
    for one in heard:
        events.setdefault((one.home, one.statement.source, one.message_id), []).append(one)
    each = await asyncio.gather(*(_one(consents, said, persons[home], policy) for (home, _, _), said in events.items()))
    return list(dict.fromkeys(identity for some in each for identity in some))


async def _one(consents: Consents, said: Sequence[Said], person: PersonView, policy: Purposes) -> list[str]:
    first = said[0]
    changes: dict[str, dict[str, Statement]] = {}
    for one in said:
        for member, statement in placed(one.statement, one.home, (*person.members, *one.named)):
            changes.setdefault(member, {})[one.purpose] = statement
    told = Circumstances(
        who=first.statement.source,
        how="event",
        jurisdiction=law_of(person, policy),
        evidence={"event": first.message_id, "explicit": str(first.statement.explicit).lower()},
        event=(first.statement.source, first.message_id),
    )
    # what the ledger cannot take counts already, as a row on its way there
    reached = list(changes)
    with going_on():
        reached += await consents.write(_as_changes(changes), told)
    return reached


def _as_changes(statements: Mapping[str, dict[str, Statement]]) -> dict[str, ConsentChange]:
    return {identity: ConsentChange(some) for identity, some in statements.items()}
