"""Saying over HTTP that two references are one person, are not, or that nobody knows. The statement goes to the log;
the answer waits a moment for the identity index to show it."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from api.deps import World, WorldNow, require
from api.documents import answer, json_body, problems
from api.errors import Problem
from api.reading import read_json
from api.representation import json_answer
from api.schemas_people import LinkAnswer, LinkAsk
from api.serving import reference
from engine.events import Event
from engine.identifiers import RESERVED, Identifier
from engine.identity import types_of
from engine.ports import ApiKey, PersonView

router = APIRouter(prefix="/v1/profiles", tags=["profiles"])
Editor = Annotated[ApiKey, Depends(require("agent", "engineer", "admin"))]
LOOKS = 40
PAUSE_S = 0.05
_ASK = msgspec.json.Decoder(LinkAsk)
_EXAMPLE = {"left": "user_id:u-1", "right": "email:ann@example.org", "reason": "confirmed by the customer on the phone"}
_RESPONSES = {
    200: answer(LinkAnswer, "The index shows it; both profile ids"),
    202: answer(LinkAnswer, "Recorded; the index does not show it yet, or a stronger rule keeps it from doing so"),
    **problems(404),
}


def _known(identifier: Identifier, view: PersonView, types: Mapping[str, str]) -> Identifier | None:
    """A `profile_id:` reference under the type its identifier really has: verdicts rank by type, and how many of a type
    a person may hold is counted by it. Fragments know type and value, the verdicts themselves know the type."""
    if identifier.type != RESERVED:
        return identifier
    for stored in view.stored:
        known = stored.fragment.state.identifiers.get(identifier.id)
        if known is not None and known.type != RESERVED:
            return Identifier(known.type, known.value, identifier.id)
    kind = types.get(identifier.id, RESERVED)
    return None if kind == RESERVED else Identifier(kind, identifier.value, identifier.id)


async def _typed(world: World, named: Sequence[Identifier]) -> list[Identifier]:
    """Raises a 404 where the type of one stays unknown."""
    views = await world.people.people([one.id for one in named])
    unnamed = [one.id for one in named if one.type == RESERVED]
    types = types_of((await world.identities.edges(unnamed)).values()) if unnamed else {}
    typed = [_known(one, view, types) for one, view in zip(named, views, strict=True)]
    found = [one for one in typed if one is not None]
    if len(found) < len(typed):
        message = "nobody is known under this profile_id; copy it from an answer of this API"
        raise Problem(404, "unknown_profile", message)
    return found


async def _pair(world: World, ask: LinkAsk) -> tuple[Identifier, Identifier]:
    typed = await _typed(world, [reference(world, ask.left), reference(world, ask.right)])
    rules = world.now.identity
    if typed[0].id == typed[1].id:
        raise Problem(400, "same_identifier", "both references name the same identifier; name two different ones")
    if any(rules.type_of(one.type).shared for one in typed):
        message = "an identifier of a shared type belongs to nobody; name an identifier that is one person's"
        raise Problem(400, "shared_identifier", message)
    first, second = sorted(typed, key=lambda i: (rules.rank(i.type), i.type, i.value))
    return first, second


def _event(kind: str, pair: tuple[Identifier, Identifier], reason: str, said: tuple[str, int]) -> Event:
    source, at = said
    return Event(
        message_id=str(uuid.uuid4()),
        source=source,
        kind=kind,
        name=kind,
        at=at,
        received=at,
        home=pair[0].id,
        identifiers=pair,
        properties={"reason": reason},
    )


async def _settled(world: World, ask: LinkAsk, *, together: bool) -> LinkAnswer:
    ids = [reference(world, ask.left).id, reference(world, ask.right).id]
    left = right = ""
    for _ in range(LOOKS):
        left, right = (view.profile_id for view in await world.people.people(ids))
        if (left == right) is together:
            return LinkAnswer(left, right, "done")
        await asyncio.sleep(PAUSE_S)
    return LinkAnswer(left, right, "pending")


async def _said(request: Request, key: ApiKey, world: World, kind: str) -> Response:
    ask = await read_json(request, _ASK)
    pair = await _pair(world, ask)
    await world.log.append_now(_event(kind, pair, ask.reason, (key.name, world.clock())))
    found = await _settled(world, ask, together=kind == "link")
    return json_answer(found, 200 if found.state == "done" else 202)


@router.post(
    "/link",
    summary="Say that two references are one person",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=json_body(LinkAsk, _EXAMPLE),
)
async def link(request: Request, key: Editor, world: WorldNow) -> Response:
    """No data moves: the profile is the merge of both from now on, and unlinking restores them exactly."""
    return await _said(request, key, world, "link")


@router.post(
    "/unlink",
    summary="Say that two references are not one person",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=json_body(LinkAsk, {**_EXAMPLE, "reason": "two people share the address"}),
)
async def unlink(request: Request, key: Editor, world: WorldNow) -> Response:
    """Each side is afterwards what it was before; consent never widens by it."""
    return await _said(request, key, world, "unlink")


@router.post(
    "/unsure",
    summary="Say that nobody knows whether two references are one person",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=json_body(LinkAsk, {**_EXAMPLE, "reason": "the caller could not be asked"}),
)
async def unsure(request: Request, key: Editor, world: WorldNow) -> Response:
    """Takes back what was said before and holds back what events showed: the pair neither links nor is kept apart."""
    return await _said(request, key, world, "unsure")
