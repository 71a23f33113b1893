"""Double opt-in over HTTP: ask for a link, the page behind it, and the POST that says yes, once. Until then the answer
counts as no; what a link is worth, `engine.opt_in` says."""

import secrets
from collections.abc import Mapping
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response

from api.answers import iso
from api.deps import World, WorldNow, require
from api.documents import answer, json_body, problems
from api.errors import Problem
from api.link_pages import (
    CONFIRMED,
    EXPIRED,
    FORGOTTEN,
    OPT_IN,
    WITHDRAWN,
    ask,
    form_field,
    is_read,
    language,
    tell,
    topic_words,
)
from api.reading import read_json
from api.representation import PRIVATE, json_answer
from api.routes.unsubscribe import link_base
from api.schemas_signals import OptInAnswer, OptInAsk
from api.stating import meant, state
from engine import opt_in
from engine.consent import CONTRACT, Purposes
from engine.opt_in import OptIn, awaiting, state_at, token_hash
from engine.ports import ApiKey, Circumstances, ConsentChange, Proof
from engine.signals import REACHED_BY
from engine.statement import Subject, Wish, changes

router = APIRouter(tags=["consent"])
Asker = Annotated[ApiKey, Depends(require("agent", "marketer", "preference_center", "admin"))]
EXAMPLE_TOKEN = "Zt3vJ1o0QWkq6mS8b2xYd5uH"  # noqa: S105 reason: opens nothing
Token = Annotated[str, Path(max_length=128, examples=[EXAMPLE_TOKEN])]
FIELD, VALUE = "confirm", "yes"
HOUR = 3_600_000
_ASK = msgspec.json.Decoder(OptInAsk)
_EXAMPLE = {"profile": "user_id:u-1", "purposes": ["marketing"], "preferences": {"email": ["newsletter"]}}
_FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: {"const": VALUE}}}
_FORMS = {
    "requestBody": {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": _FORM, "example": {FIELD: VALUE}}},
    }
}
_PAGES = {opt_in.CONFIRMED: CONFIRMED, opt_in.EXPIRED: EXPIRED, opt_in.WITHDRAWN: WITHDRAWN}
_PAGE = {"text/html": {"schema": {"type": "string"}}}


@router.post(
    "/v1/consent/opt-in",
    summary="Ask somebody to confirm their yes",
    status_code=201,
    response_class=Response,
    responses={201: answer(OptInAnswer, "The link to send; the answer is no until it is used"), **problems(409)},
    openapi_extra=json_body(OptInAsk, _EXAMPLE),
)
async def ask_for_link(request: Request, key: Asker, world: WorldNow) -> Response:
    """The link is told here only: what is stored of it is a hash."""
    asked = await read_json(request, _ASK)
    _check(asked, world.now.purposes)
    now, rules = world.clock(), world.now.signals.links
    wanted = OptIn(
        identity=(await meant(world, asked.profile)).id,
        purposes=tuple(dict.fromkeys(asked.purposes)),
        preferences={channel: tuple(topics) for channel, topics in asked.preferences.items()},
        source=asked.source or key.name,
        text_version=asked.text_version or "",
        requested_at=now,
        expires_at=now + rules.opt_in_hours * HOUR,
    )
    token = secrets.token_urlsafe(24)
    await world.opt_ins.add(token_hash(token), wanted)
    told = Circumstances(who=key.name, how="opt_in_requested")
    await state(world, wanted.identity, lambda subject: awaiting(subject, wanted), told)
    url = f"{link_base(request, world)}/v1/consent/opt-in/{token}"
    return json_answer(OptInAnswer(opt_in.PENDING, url, iso(wanted.expires_at)), 201, PRIVATE)


def _check(asked: OptInAsk, policy: Purposes) -> None:
    if not set(asked.purposes) <= policy.purposes.keys():
        raise Problem(400, "unknown_purpose", f"the purposes here are {', '.join(policy.purposes)}")
    if not asked.preferences.keys() <= set(REACHED_BY):
        raise Problem(400, "unknown_channel", f"the channels here are {', '.join(REACHED_BY)}")
    if any(policy.purposes[purpose].basis == CONTRACT for purpose in asked.purposes):
        raise Problem(409, "basis_contract", "a purpose that rests on the contract needs no yes; leave it out")


class Link(msgspec.Struct, frozen=True):
    """A link that was found: its hash, what it confirms, what it is worth now, and as of what: the ledger's rows, and
    the channels and topics that were refused."""

    hash: str
    wanted: OptIn
    state: str
    rows: list[Proof] = []
    off: frozenset[tuple[str, str]] = frozenset()


async def _found(world: World, token: str) -> Link | None:
    """What a token stands for; one that has lost its worth is settled as such."""
    hashed = token_hash(token)
    wanted = await world.opt_ins.find(hashed)
    if wanted is None:
        return None
    view = await world.people.person(wanted.identity)
    rows = await world.consents.history(view.members) if wanted.preferences else []
    worth = state_at(wanted, view.held, rows, world.clock())
    if wanted.state == opt_in.PENDING and worth != opt_in.PENDING:
        await world.opt_ins.settle(hashed, worth, world.clock())
    return Link(hashed, wanted, worth, rows, opt_in.off(wanted, view.held))


def _words(request: Request, wanted: OptIn, policy: Purposes) -> str:
    spoken = language(request)
    texts = [policy.purposes[p].text.get(spoken, p) for p in wanted.purposes if p in policy.purposes]
    topics = [topic_words(request, channel, topic) for channel, said in wanted.preferences.items() for topic in said]
    return " ".join([*texts, *topics])


@router.get("/v1/consent/opt-in/{token}", include_in_schema=False)
async def look(request: Request, token: Token, world: WorldNow) -> Response:
    """A page with a button. Mail scanners open every link, so this confirms nothing."""
    link = await _found(world, token)
    if link is None:
        return tell(request, FORGOTTEN)
    if link.state != opt_in.PENDING:
        return tell(request, _PAGES[link.state])
    return ask(request, OPT_IN, _words(request, link.wanted, world.now.purposes), (FIELD, VALUE))


@router.post(
    "/v1/consent/opt-in/{token}",
    summary="Confirm, once",
    response_class=Response,
    responses={200: {"description": "Confirmed, now or before", "content": _PAGE}, **problems(404, 409, 410)},
    openapi_extra=_FORMS,
)
async def confirm(request: Request, token: Token, world: WorldNow) -> Response:
    """The button of the page. A link that was used, has expired or was overtaken by a no changes nothing any more."""
    if await form_field(request, FIELD) != VALUE:
        raise Problem(400, "not_confirmed", f"send {FIELD}={VALUE} as a form; opening the link shows a button for it")
    link = await _found(world, token)
    if is_read(request) and (link is None or link.state in (opt_in.EXPIRED, opt_in.WITHDRAWN)):
        return tell(request, FORGOTTEN if link is None else _PAGES[link.state])
    if link is None:
        text = "no link of ours, or of somebody erased since; use it whole, as the message has it"
        raise Problem(404, "unknown_link", text)
    if link.state in (opt_in.EXPIRED, opt_in.WITHDRAWN):
        raise Problem(410, f"link_{link.state}", "the link does not count any more; ask for a new one")
    if link.state == opt_in.PENDING:
        await _grant(world, link)
    return tell(request, CONFIRMED)


async def _grant(world: World, link: Link) -> None:
    """Consent first, then the link: stopped in between, the person may press again and nothing is written twice."""
    wanted, now = link.wanted, world.clock()

    def said(subject: Subject) -> Mapping[str, ConsentChange]:
        refused_meanwhile = opt_in.off(wanted, subject.held) - link.off
        if refused_meanwhile or state_at(wanted, subject.held, link.rows, now) != opt_in.PENDING:
            raise Problem(410, "link_withdrawn", "the link does not count any more; ask for a new one")
        known = {p: True for p in wanted.purposes if p in world.now.purposes.purposes}
        return changes(subject, Wish(wanted.source, now, known, wanted.wanted, text_version=wanted.text_version))

    evidence = {"requested_at": iso(wanted.requested_at), "confirmed_at": iso(now)}
    await state(world, wanted.identity, said, Circumstances("the person", "double_opt_in", evidence=evidence))
    await world.opt_ins.settle(link.hash, opt_in.CONFIRMED, now)
