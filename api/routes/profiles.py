"""Profiles over HTTP: one person by any identifier, the timeline, and saying who belongs together. Everything read
passes the consent gate for the purposes of the caller's key."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from api.answers import Seen, look, look_back, profile_answer, purposes_of, timeline_page, with_provenance
from api.audit import noted
from api.cursor import place_in, token_of
from api.deps import World, WorldNow, require
from api.documents import answer, json_body, problems
from api.errors import Problem
from api.moments import At, moment
from api.reading import read_json
from api.representation import PRIVATE, is_current, json_answer, not_modified, weak_tag
from api.schemas_people import LookupAsk, ProfileAnswer, TimelinePage
from api.serving import reference
from engine.audit import EVENTS, PROFILE
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
    Literal["traits"] | None,
    Query(description="`traits` adds which event each trait came from", examples=["traits"]),
]
_LOOKUP = msgspec.json.Decoder(LookupAsk)


class Wish(msgspec.Struct, frozen=True):
    """How a profile is to be shown: with what explained, as of when (ms; None: now), and when that is."""

    explain: str | None
    at: int | None
    now: int


def wish(world: WorldNow, explain: Explain = None, at: At = None) -> Wish:
    now = world.clock()
    then = None if at is None else moment(at, now)
    return Wish(explain, then, now if then is None else then)


Wished = Annotated[Wish, Depends(wish)]


async def seen_by(world: World, key: ApiKey, ref: str, at: int | None = None) -> Seen:
    """The person a reference names, now or as of `at` (ms), through the gate. Raises a 404 for somebody no event was
    seen of by then."""
    identity = reference(world, ref).id
    if at is not None:
        return await _seen_then(world, key, identity, at)
    view = await world.people.person(identity)
    if not view.met:
        message = "nobody is known under this reference; it is normalised as events are, so check its type and spelling"
        raise Problem(404, "unknown_profile", message)
    return look(view, key, world.now.purposes, world.clock())


async def _seen_then(world: World, key: ApiKey, identity: str, at: int) -> Seen:
    then = await world.history.person_at(identity, at)
    if not then.met:
        raise Problem(404, "unknown_profile", "nobody was known under this reference by then; try a later time")
    today = await world.people.people([identity, *then.members])
    return look_back(then, today, key, world.now.purposes, world.clock())


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
async def look_up(request: Request, key: Reader, world: WorldNow, wish: Wished) -> Response:
    """The same as the GET, for references that should not stand in a URL (e-mail, phone)."""
    ask = await read_json(request, _LOOKUP)
    seen = await seen_by(world, key, ask.profile, wish.at)
    noted(world, key, PROFILE, seen.view.profile_id)
    return json_answer(_body(seen, wish.now, wish.explain), headers=PRIVATE)


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
    """The latest events of the person that the key's purposes and the person's consent let through: of the newest 50
    things the customer did or was told, and of the newest 10 decisions and exposures, which push none of these out."""
    seen = await seen_by(world, key, ref)
    noted(world, key, EVENTS, seen.view.profile_id)
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
    wish: Wished,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The merge of everything known under the person's identifiers. The tag is weak: decayed signals move with time.

    With `at`, the merge of what had been applied by then. Consent is not part of the past, nor is the law it follows:
    what somebody has withdrawn since, or the law of their present country closes, is not shown of any time.
    """
    seen = await seen_by(world, key, ref, wish.at)
    noted(world, key, PROFILE, seen.view.profile_id)
    visible = seen.visible
    tag = weak_tag(
        visible.profile_id,
        visible.version,
        seen.consent.version,
        seen.consent.jurisdiction,
        visible.purposes,
        purposes_of(key, world.now.purposes),
        wish.explain,
        wish.at,
    )
    if is_current(if_none_match, tag):
        return not_modified(tag)
    return json_answer(_body(seen, wish.now, wish.explain), headers={"ETag": tag, **PRIVATE})
