"""Saying over HTTP that two references are one person, or are not. The statement goes to the log; the answer waits a
moment for the identity index to show it."""

import asyncio
import uuid
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
from engine.identifiers import Identifier
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


def _typed(identifier: Identifier, view: PersonView) -> Identifier:
    """A `profile_id:` reference under the type its identifier really has; verdicts rank by type."""
    if identifier.type != "profile_id":
        return identifier
    known = next((s.fragment.state.identifiers.get(identifier.id) for s in view.stored), None)
    if known is None:
        raise Problem(
            404, "unknown_profile", "nobody is known under this profile_id; copy it from an answer of this API"
        )
    return Identifier(known.type, known.value, identifier.id)


async def _pair(world: World, ask: LinkAsk) -> tuple[Identifier, Identifier]:
    named = [reference(world, ask.left), reference(world, ask.right)]
    views = await world.people.people([one.id for one in named])
    rules = world.now.identity
    typed = [_typed(one, view) for one, view in zip(named, views, strict=True)]
    if typed[0].id == typed[1].id:
        raise Problem(400, "same_identifier", "both references name the same identifier; name two different ones")
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
