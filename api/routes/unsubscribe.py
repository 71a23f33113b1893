"""One-click unsubscribe (RFC 8058): links for senders, the page behind one, and the POST that counts. A link alone
opens it: no key, no cookie, no redirect; looking at it changes nothing."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response

from api.answers import iso
from api.deps import World, WorldNow, require
from api.documents import answer, json_body, problems
from api.errors import Problem
from api.link_pages import EXPIRED, UNKNOWN, UNSUBSCRIBE, UNSUBSCRIBED, ask, form_field, is_read, tell, topic_words
from api.reading import read_json
from api.representation import PRIVATE, json_answer
from api.schemas_signals import UnsubscribeAsk, UnsubscribeLink, UnsubscribeLinks
from api.sealed import seal, unseal
from api.stating import meant, state
from engine.ports import ApiKey, Circumstances, ConsentChange
from engine.signals import DAY, REACHED_BY
from engine.statement import Subject, Wish, changes

router = APIRouter(tags=["unsubscribe"])
Sender = Annotated[ApiKey, Depends(require("marketer", "agent", "preference_center", "admin"))]
EXAMPLE_TOKEN = "lKh1bnN1YnNjcmliZQ.aZ4kQ0r0aVXo0mTt7w2l0m8y5s1b9c3d7e5f6g8h0i1"  # noqa: S105 reason: opens nothing
Token = Annotated[str, Path(max_length=1024, examples=[EXAMPLE_TOKEN])]
FIELD, VALUE = "List-Unsubscribe", "One-Click"
USE = "unsubscribe"
MOST_BYTES = 256 * 1024
_ASK = msgspec.json.Decoder(UnsubscribeAsk)
_FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: {"const": VALUE}}}
_FORMS = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": _FORM, "example": {FIELD: VALUE}}
            for kind in ("application/x-www-form-urlencoded", "multipart/form-data")
        },
    }
}
_PAGE = {"text/html": {"schema": {"type": "string"}}}


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What a link stands for: an identifier's id, a channel, a topic, and until when (ms)."""

    identity: str
    channel: str
    topic: str
    until: int


def link_base(request: Request, world: World) -> str:
    """What links for people begin with: the configured address, else the one this request came to."""
    return (world.now.signals.links.public_url or str(request.base_url)).rstrip("/")


def opened(world: World, token: str) -> Claim | None:
    """What a token of ours stands for, expired or not; None for anything else."""
    sealed = unseal(world.secret, USE, token)
    return msgspec.msgpack.decode(sealed, type=Claim) if sealed is not None else None


@router.post(
    "/v1/unsubscribe-links",
    summary="Links and headers for messages about to be sent",
    response_class=Response,
    responses={200: answer(UnsubscribeLinks, "One link per profile"), **problems()},
    openapi_extra=json_body(UnsubscribeAsk, {"profiles": ["user_id:u-1"], "channel": "email", "topic": "newsletter"}),
)
async def make_links(request: Request, _key: Sender, world: WorldNow) -> Response:
    """Put the headers on the message and the link into its text."""
    asked = await read_json(request, _ASK, MOST_BYTES)
    if asked.channel not in REACHED_BY:
        raise Problem(400, "unknown_channel", f"the channels here are {', '.join(REACHED_BY)}")
    rules = world.now.signals.links
    until = world.clock() + rules.unsubscribe_days * DAY
    base = link_base(request, world)
    links = []
    for ref in asked.profiles:
        claim = Claim((await meant(world, ref)).id, asked.channel, asked.topic, until)
        url = f"{base}/v1/unsubscribe/{seal(world.secret, USE, msgspec.msgpack.encode(claim))}"
        links.append(UnsubscribeLink(ref, url, _headers(url, rules.mailto)))
    return json_answer(UnsubscribeLinks(links, iso(until)), headers=PRIVATE)


def _headers(url: str, mailto: str) -> dict[str, str]:
    places = [f"<{url}>", *([f"<mailto:{quote(mailto, safe='@.+-_')}>"] if mailto else [])]
    return {FIELD: ", ".join(places), f"{FIELD}-Post": f"{FIELD}={VALUE}"}


@router.get("/v1/unsubscribe/{token}", include_in_schema=False)
async def look(request: Request, token: Token, world: WorldNow) -> Response:
    """A page with a button. Mail scanners open every link, so this changes nothing."""
    claim = opened(world, token)
    if claim is None:
        return tell(request, UNKNOWN)
    if claim.until <= world.clock():
        return tell(request, EXPIRED)
    return ask(request, UNSUBSCRIBE, topic_words(request, claim.channel, claim.topic), (FIELD, VALUE))


@router.post(
    "/v1/unsubscribe/{token}",
    summary="Unsubscribe at once (RFC 8058)",
    response_class=Response,
    responses={200: {"description": "It is so, now or since before", "content": _PAGE}, **problems(404, 409, 410)},
    openapi_extra=_FORMS,
)
async def unsubscribe(request: Request, token: Token, world: WorldNow) -> Response:
    """The body is `List-Unsubscribe=One-Click`, urlencoded or multipart, as mail programs send it."""
    if (await form_field(request, FIELD)).casefold() != VALUE.casefold():
        raise Problem(400, "not_one_click", f"send {FIELD}={VALUE} as a form; opening the link shows a button for it")
    claim = opened(world, token)
    if is_read(request) and (claim is None or claim.until <= world.clock()):
        return tell(request, UNKNOWN if claim is None else EXPIRED)
    if claim is None:
        raise Problem(404, "unknown_link", "this is no link of ours; use it whole, as the message has it")
    if claim.until <= world.clock():
        raise Problem(410, "link_expired", "the link has expired; use the one in a newer message")

    def said(subject: Subject) -> Mapping[str, ConsentChange]:
        wanted = {claim.channel: {claim.topic: False}}
        return changes(subject, Wish(USE, world.clock(), preferences=wanted, anew=True))

    await state(world, claim.identity, said, Circumstances(who="the person", how="one_click"))
    return tell(request, UNSUBSCRIBED, topic_words(request, claim.channel, claim.topic))
