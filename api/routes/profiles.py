"""Profiles over HTTP: one person by any identifier, the timeline, and saying who belongs together. Everything read
passes the consent gate for the purposes of the caller's key."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from api.answers import Seen, look, profile_answer, purposes_of, timeline_page, with_provenance
from api.cursor import place_in, token_of
from api.deps import World, WorldNow, require
from api.documents import answer, json_body, problems
from api.errors import Problem
from api.reading import read_json
from api.representation import PRIVATE, is_current, json_answer, not_modified, weak_tag
from api.schemas_people import LookupAsk, ProfileAnswer, TimelinePage
from api.serving import reference
from engine.ports import ApiKey

router = APIRouter(prefix="/v1/profiles", tags=["profiles"])
Reader = Annotated[ApiKey, Depends(require("agent", "marketer", "engineer", "preference_center", "auditor", "admin"))]
Ref = Annotated[
    str,
    Path(
        max_length=512,
        description="`type:value`, for example `user_id:u-1`, `email:ann@example.org` or `profile_id:…`",
        examples=["user_id:u-1"],
    ),
]
Explain = Annotated[
    str | None,
    Query(pattern="^traits$", description="`traits` adds which event each trait came from", examples=["traits"]),
]
_LOOKUP = msgspec.json.Decoder(LookupAsk)


async def seen_by(world: World, key: ApiKey, ref: str) -> Seen:
    """The person a reference names, through the gate. Raises a 404 for somebody no event was ever seen of."""
    view = await world.people.person(reference(world, ref).id)
    if not view.known:
        message = "nobody is known under this reference; it is normalised as events are, so check its type and spelling"
        raise Problem(404, "unknown_profile", message)
    return look(view, key, world.now.purposes)


def _body(seen: Seen, at: int, explain: str | None) -> ProfileAnswer:
    plain = profile_answer(seen, at)
    return with_provenance(plain, seen.visible) if explain else plain


@router.post(
    "/lookup",
    summary="A profile by a reference in the body",
    response_class=Response,
    responses={200: answer(ProfileAnswer, "The profile"), **problems(404)},
    openapi_extra=json_body(LookupAsk, {"profile": "user_id:u-1"}),
)
async def look_up(request: Request, key: Reader, world: WorldNow, explain: Explain = None) -> Response:
    """The same as the GET, for references that should not stand in a URL (e-mail, phone)."""
    ask = await read_json(request, _LOOKUP)
    return json_answer(_body(await seen_by(world, key, ask.profile), world.clock(), explain), headers=PRIVATE)


@router.get(
    "/{ref:path}/events",
    summary="A person's timeline",
    response_class=Response,
    responses={200: answer(TimelinePage, "A page of the timeline, newest first"), **problems(404)},
)
async def read_events(
    ref: Ref,
    key: Reader,
    world: WorldNow,
    limit: Annotated[int, Query(ge=1, le=200, examples=[20])] = 50,
    cursor: Annotated[str | None, Query(max_length=1024, description="`next` of the previous page")] = None,
) -> Response:
    """The latest events of the person that the key's purposes and the person's consent let through."""
    seen = await seen_by(world, key, ref)
    events, following = timeline_page(seen.visible.timeline, place_in(cursor) if cursor else None, limit)
    return json_answer(TimelinePage(events, token_of(following) if following else None), headers=PRIVATE)


@router.get(
    "/{ref:path}",
    summary="A person's profile",
    response_class=Response,
    responses={200: answer(ProfileAnswer, "The profile", ("ETag",)), **problems(304, 404)},
)
async def read_profile(
    ref: Ref,
    key: Reader,
    world: WorldNow,
    explain: Explain = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The merge of everything known under the person's identifiers. The tag is weak: decayed signals move with time."""
    seen = await seen_by(world, key, ref)
    visible = seen.visible
    tag = weak_tag(
        visible.profile_id,
        visible.version,
        seen.consent.version,
        visible.purposes,
        purposes_of(key, world.now.purposes),
        explain,
    )
    if is_current(if_none_match, tag):
        return not_modified(tag)
    return json_answer(_body(seen, world.clock(), explain), headers={"ETag": tag, **PRIVATE})
