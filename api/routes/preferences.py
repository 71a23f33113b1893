"""The preference centre: a page behind a signed, expiring link where a person sees what is kept and why, changes their
mind with one button, takes a copy along or has everything deleted. The link is the only authority: there is no cookie
that another site could ride on. Works without JavaScript."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.responses import RedirectResponse

from api.answers import consent_of, iso
from api.audit import noted
from api.deps import World, WorldNow, require
from api.documents import answer, problems
from api.errors import Problem
from api.link_pages import form_fields, language
from api.preference_page import REACHED_BY, channel_choices, choices_made, kept, known_as, purpose_choices, text_version
from api.preference_words import LANGUAGES, WORDS
from api.representation import PRIVATE, json_answer
from api.routes.erasure import begun, exported
from api.routes.profiles import Ref
from api.routes.unsubscribe import link_base
from api.schemas_signals import PreferenceLink
from api.sealed import seal, unseal
from api.serving import reference
from api.stating import state
from api.templates import HEADERS, render
from engine.audit import LINK
from engine.consent import CONTRACT
from engine.ports import ApiKey, Circumstances, ConsentChange
from engine.signals import DAY
from engine.statement import Subject, Wish, changes

router = APIRouter(tags=["preferences"])
Maker = Annotated[ApiKey, Depends(require("preference_center", "admin"))]
Token = Annotated[str, Path(max_length=1024)]
USE = "preferences"
DAYS = 14
LONGEST_FIELD = 200


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """Whom a link stands for (an identifier's id and type) and until when (ms)."""

    identity: str
    type: str
    until: int


@router.post(
    "/v1/profiles/{ref:path}/preference-link",
    summary="A link to a person's own preference page",
    response_class=Response,
    responses={200: answer(PreferenceLink, "The link; it opens the page for whoever holds it"), **problems()},
)
async def make_link(request: Request, ref: Ref, key: Maker, world: WorldNow) -> Response:
    """Send it only to the person: it shows what is kept of them, and deletes it if they ask."""
    named = reference(world, ref)
    noted(world, key, LINK, (await world.people.person(named.id)).profile_id)
    until = world.clock() + DAYS * DAY
    token = seal(world.secret, USE, msgspec.msgpack.encode(Claim(named.id, named.type, until)))
    made = PreferenceLink(f"{link_base(request, world)}/preferences/{token}", iso(until))
    return json_answer(made, headers=PRIVATE)


def _spoken(request: Request) -> str:
    asked = request.query_params.get("lang", "")
    return asked if asked in LANGUAGES else language(request)


class Visit:
    """One request by whoever holds a link: what the link stands for, and the language to speak."""

    def __init__(self, request: Request, world: World, token: str) -> None:
        sealed = unseal(world.secret, USE, token)
        self.world = world
        self.token = token
        self.language = _spoken(request)
        self.claim = msgspec.msgpack.decode(sealed, type=Claim) if sealed is not None else None

    def refusal(self) -> Response | None:
        """The page for a link that opens nothing; None for a good one."""
        words = WORDS[self.language]
        if self.claim is None:
            return self.page("told", {"heading": words.unknown, "text": words.unknown_lead}, 404)
        if self.claim.until <= self.world.clock():
            return self.page("told", {"heading": words.expired, "text": words.expired_lead}, 410)
        return None

    def holder(self) -> Claim:
        """Whom the link stands for. Raises the problem of a link that opens nothing."""
        if self.claim is None:
            raise Problem(404, "unknown_link", "this is no link of ours; use it whole, as the message has it")
        if self.claim.until <= self.world.clock():
            raise Problem(410, "link_expired", "the link has expired; ask for a new one")
        return self.claim

    def page(self, name: str, values: Mapping[str, Any], status: int = 200) -> Response:
        shared = {
            "lang": self.language,
            "words": WORDS[self.language],
            "languages": LANGUAGES,
            "place": f"/preferences/{self.token}",
        }
        return render(f"preferences/{name}.html", {**shared, **values}, status)

    def back(self, said: str) -> Response:
        """After a change the page again, by GET, so that reloading it repeats nothing."""
        where = f"/preferences/{self.token}?lang={self.language}&said={said}"
        return RedirectResponse(where, 303, {name: HEADERS[name] for name in ("Cache-Control", "Referrer-Policy")})


def visit(request: Request, token: Token, world: WorldNow) -> Visit:
    return Visit(request, world, token)


Visiting = Annotated[Visit, Depends(visit)]


@router.get("/preferences/{token}", include_in_schema=False)
async def look(request: Request, here: Visiting) -> Response:
    """The page itself. Looking changes nothing."""
    refused = here.refusal()
    if refused is not None:
        return refused
    view = await here.world.people.person(here.holder().identity)
    policy = here.world.now.purposes
    consent = consent_of(view, policy, here.world.clock())
    said = request.query_params.get("said", "")
    values = {
        "purposes": purpose_choices(consent, policy, here.language),
        "channels": channel_choices(consent, here.language),
        "kept": kept(view, policy, here.language),
        "identifiers": known_as(view),
        "count": view.profile.state.count,
        "first": iso(view.profile.state.first)[:10] if view.profile.state.count else "",
        "made": choices_made(await here.world.consents.history(view.members), here.language),
        "said": {"saved": WORDS[here.language].saved, "contested": WORDS[here.language].contested}.get(said, ""),
    }
    return here.page("centre", values)


@router.post("/preferences/{token}", include_in_schema=False)
async def choose(request: Request, here: Visiting) -> Response:
    """One button: a purpose or a channel, to yes or to no."""
    refused = here.refusal()
    if refused is not None:
        return refused
    wish = _wish(here, await form_fields(request))

    def saying(subject: Subject) -> Mapping[str, ConsentChange]:
        return changes(subject, wish)

    told = Circumstances(who="the person", how="preference_page", evidence={"language": here.language})
    try:
        await state(here.world, here.holder().identity, saying, told)
    except Problem as problem:
        if problem.code != "consent_contested":
            raise
        return here.back("contested")
    return here.back("saved")


def _wish(here: Visit, form: Mapping[str, str]) -> Wish:
    policy, now = here.world.now.purposes, here.world.clock()
    kind, name, yes = form.get("kind", ""), form.get("name", "")[:LONGEST_FIELD], form.get("wanted") == "yes"
    if kind == "purpose" and name in policy.purposes:
        if policy.purposes[name].basis == CONTRACT and not yes:
            raise Problem(409, "basis_contract", WORDS[here.language].contract)
        return Wish(USE, now, purposes={name: yes}, text_version=text_version(policy, name, here.language))
    channel, _, topic = name.partition(":")
    if kind == "channel" and channel in REACHED_BY and topic:
        return Wish(USE, now, preferences={channel: {topic: yes}})
    raise Problem(400, "unknown_choice", "the page has no such choice; open it again and use its buttons")


@router.get("/preferences/{token}/data", include_in_schema=False)
async def download(here: Visiting) -> Response:
    """Everything that is kept, as JSON lines, for the person to take along."""
    view = await here.world.people.person(here.holder().identity)
    made = exported(here.world, view)
    made.headers["Content-Disposition"] = 'attachment; filename="my-data.ndjson"'
    made.headers.update(
        {name: HEADERS[name] for name in ("Cache-Control", "Referrer-Policy", "X-Content-Type-Options")}
    )
    return made


@router.get("/preferences/{token}/deletion", include_in_schema=False)
async def consider(here: Visiting) -> Response:
    """Asks once more, because it cannot be undone."""
    return here.refusal() or here.page("confirm", {})


@router.post("/preferences/{token}/deletion", include_in_schema=False)
async def delete(here: Visiting) -> Response:
    """Starts the erasure and says under which number it runs."""
    refused = here.refusal()
    if refused is not None:
        return refused
    holder = here.holder()
    job = await begun(here.world, (holder.identity, holder.type), "the person")
    words = WORDS[here.language]
    return here.page("told", {"heading": words.deleted, "text": words.deleted_lead, "number": job.id}, 202)
