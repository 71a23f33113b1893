"""The preference centre: a page behind a signed, expiring link where a person sees what is kept and why, changes their
mind with one button, takes a copy along or has everything deleted. The link is the only authority: there is no cookie
that another site could ride on. Works without JavaScript."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from api.answers import iso
from api.audit import noted
from api.deps import World, WorldNow, require
from api.documents import answer, problems
from api.erased import erased_at
from api.errors import Problem, unavailable, unforeseen
from api.link_pages import form_fields, language
from api.preference_page import (
    channel_choices,
    choices_made,
    is_text_version,
    kept,
    known_as,
    purpose_choices,
    standing_of,
    text_version,
)
from api.preference_words import LANGUAGES, WORDS, Words, dated
from api.representation import PRIVATE, json_answer
from api.routes.erasure import begun, exported
from api.routes.profiles import Ref
from api.routes.unsubscribe import link_base
from api.schemas_signals import PreferenceLink
from api.sealed import seal, unseal
from api.stating import meant, state
from api.templates import HEADERS, render
from engine.audit import LINK
from engine.consent import CONTRACT
from engine.erasure import LINK_DAYS
from engine.erasure_job import Job
from engine.ports import ApiKey, Circumstances, ConsentChange, PersonView, Unavailable
from engine.signals import DAY, REACHED_BY
from engine.statement import Subject, Wish, changes

router = APIRouter(tags=["preferences"])
Maker = Annotated[ApiKey, Depends(require("preference_center", "admin"))]
Token = Annotated[str, Path(max_length=1024)]
USE = "preferences"
THE_PERSON = "the person"
LONGEST_FIELD = 200
# whoever opens the page again later has changed nothing then
NEWS_MS, MOST_DIGITS = 60_000, 15
TO_KEEP_PRIVATE = {name: HEADERS[name] for name in ("Cache-Control", "Referrer-Policy", "X-Content-Type-Options")}
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """Whom a link stands for (an identifier's id and type), until when, and since when (ms)."""

    identity: str
    type: str
    until: int
    made: int = 0


@router.post(
    "/v1/profiles/{ref:path}/preference-link",
    summary="A link to a person's own preference page",
    response_class=Response,
    responses={200: answer(PreferenceLink, "The link; it opens the page for whoever holds it"), **problems()},
)
async def make_link(request: Request, ref: Ref, key: Maker, world: WorldNow) -> Response:
    """Send it only to the person: it shows what is kept of them, and deletes it if they ask."""
    named = await meant(world, ref)
    noted(world, key, LINK, (await world.people.person(named.id)).profile_id)
    now = world.clock()
    until = now + LINK_DAYS * DAY
    token = seal(world.secret, USE, msgspec.msgpack.encode(Claim(named.id, named.type, until, now)))
    made = PreferenceLink(f"{link_base(request, world)}/preferences/{token}", iso(until))
    return json_answer(made, headers=PRIVATE)


def _spoken(request: Request) -> str:
    asked = request.query_params.get("lang", "")
    return asked if asked in LANGUAGES else language(request)


def _page(request: Request, name: str, values: Mapping[str, Any], status: int = 200) -> Response:
    spoken = _spoken(request)
    shared = {
        "lang": spoken,
        "words": WORDS[spoken],
        "languages": LANGUAGES,
        "place": f"/preferences/{request.path_params.get('token', '')}",
    }
    return render(f"preferences/{name}.html", {**shared, **values}, status)


def _problem_of(request: Request, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        # the only part of a path that has a form is the token
        return Problem(404, "unknown_link", "this is no link of ours; use it whole, as the message has it")
    if isinstance(error, HTTPException):
        return Problem(error.status_code, "request_failed", "the request cannot be served", headers=error.headers)
    return unavailable(str(error)) if isinstance(error, Unavailable) else unforeseen(request, error)


def _told(problem: Problem, words: Words) -> dict[str, Any]:
    """What a person reads about a problem; the way back where their link still opens the page."""
    if problem.code == "unknown_link":
        return {"heading": words.unknown, "text": words.unknown_lead}
    if problem.code == "link_expired":
        return {"heading": words.expired, "text": words.expired_lead}
    if problem.code == "erased":
        return {"heading": words.gone, "text": words.gone_lead}
    if problem.code == "basis_contract":
        return {"heading": words.misread, "text": words.contract, "back": True}
    if problem.status >= 500:
        return {"heading": words.away, "text": words.away_lead, "back": True}
    return {"heading": words.misread, "text": words.misread_lead, "back": True}


class PageRoute(APIRoute):
    """A route for people with a browser: a problem is a page in their language, with the headers of all pages, because
    the address is what opens them."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:  # noqa: BLE001 - what nobody expected is a page too
                problem = _problem_of(request, error)
                page = _page(request, "told", _told(problem, WORDS[_spoken(request)]), problem.status)
                page.headers.update(problem.headers)
                return page

        return handle


pages = APIRouter(route_class=PageRoute, include_in_schema=False)


class Visit:
    """One request by whoever holds a link: what the link stands for, and the language to speak."""

    def __init__(self, request: Request, world: World, token: str) -> None:
        sealed = unseal(world.secret, USE, token)
        self.world = world
        self.token = token
        self.language = _spoken(request)
        self._request = request
        self._claim = msgspec.msgpack.decode(sealed, type=Claim) if sealed is not None else None

    def holder(self) -> Claim:
        """Whom the link stands for. Raises the problem of a link that opens nothing."""
        if self._claim is None:
            raise Problem(404, "unknown_link", "this is no link of ours; use it whole, as the message has it")
        if self._claim.until <= self.world.clock():
            raise Problem(410, "link_expired", "the link has expired; ask for a new one")
        return self._claim

    async def person(self) -> PersonView:
        """The person the link was made for. One who was erased since is gone, whoever has the identifier now."""
        holder = self.holder()
        view = await self.world.people.person(holder.identity)
        if erased_at(view, holder.identity) > holder.made:
            raise Problem(410, "erased", "the person this link was made for was erased; it opens nothing any more")
        return view

    def page(self, name: str, values: Mapping[str, Any]) -> Response:
        return _page(self._request, name, values)

    def on_to(self, part: str = "", said: str = "") -> Response:
        """After a change a page by GET, so that reloading it repeats nothing; `said` is what the page says of it."""
        news = f"&at={self.world.clock()}&said={said}" if said else ""
        return RedirectResponse(f"/preferences/{self.token}{part}?lang={self.language}{news}", 303, TO_KEEP_PRIVATE)

    def news(self) -> str:
        """What became of the button that led here, as long as it is new."""
        words, query = WORDS[self.language], self._request.query_params
        at = query.get("at", "")
        if not at.isdecimal() or len(at) > MOST_DIGITS or abs(self.world.clock() - int(at)) > NEWS_MS:
            return ""
        notices = {"saved": words.saved, "contested": words.contested, "changed": words.changed}
        return notices.get(query.get("said", ""), "")


def visit(request: Request, token: Token, world: WorldNow) -> Visit:
    return Visit(request, world, token)


Visiting = Annotated[Visit, Depends(visit)]


@pages.get("/preferences/{token}")
async def look(here: Visiting) -> Response:
    """The page itself. Looking changes nothing."""
    view = await here.person()
    policy, words = here.world.now.purposes, WORDS[here.language]
    standing = standing_of(view, policy, here.world.clock())
    values = {
        "purposes": purpose_choices(standing, policy, here.language),
        "channels": channel_choices(standing.now, here.language),
        "restricted": standing.now.restricted,
        "kept": kept(view, policy, here.language),
        "identifiers": known_as(view, here.language),
        "first": dated(words, view.profile.state.first) if view.profile.state.count else "",
        "made": choices_made(await here.world.consents.history(view.members), here.language),
        "said": here.news(),
    }
    return here.page("centre", values)


@pages.post("/preferences/{token}")
async def choose(request: Request, here: Visiting) -> Response:
    """One button: a purpose or a channel, to yes or to no."""
    holder = here.holder()
    await here.person()
    wish = _wish(here, await form_fields(request))
    if wish is None:
        return here.on_to(said="changed")

    def saying(subject: Subject) -> Mapping[str, ConsentChange]:
        return changes(subject, wish)

    told = Circumstances(who=THE_PERSON, how="preference_page", evidence={"language": here.language})
    try:
        await state(here.world, holder.identity, saying, told)
    except Problem as problem:
        if problem.code != "consent_contested":
            raise
        return here.on_to(said="contested")
    return here.on_to(said="saved")


def _wish(here: Visit, form: Mapping[str, str]) -> Wish | None:
    """What a button asks for; None where it says yes to a text that is not the one shown any more."""
    policy, now = here.world.now.purposes, here.world.clock()
    kind, name, yes = form.get("kind", ""), form.get("name", "")[:LONGEST_FIELD], form.get("wanted") == "yes"
    if kind == "purpose" and name in policy.purposes:
        if policy.purposes[name].basis == CONTRACT and not yes:
            raise Problem(409, "basis_contract", "a purpose that rests on the contract cannot be refused")
        shown, current = form.get("text", ""), text_version(policy, name, here.language)
        if yes and shown != current:
            return None
        # nothing may block a withdrawal, whatever its form carries
        read = shown if is_text_version(shown) else current
        return Wish(USE, now, purposes={name: yes}, text_version=read, anew=True)
    channel, _, topic = name.partition(":")
    if kind == "channel" and channel in REACHED_BY and topic:
        return Wish(USE, now, preferences={channel: {topic: yes}}, anew=True)
    raise Problem(400, "unknown_choice", "the page has no such choice; open it again and use its buttons")


@pages.get("/preferences/{token}/data")
async def download(here: Visiting) -> Response:
    """Everything that is kept, as JSON lines, for the person to take along."""
    view = await here.person()
    made = exported(here.world, view)
    made.headers["Content-Disposition"] = 'attachment; filename="my-data.ndjson"'
    made.headers.update(TO_KEEP_PRIVATE)
    return made


@pages.get("/preferences/{token}/deletion")
async def consider(here: Visiting) -> Response:
    """Asks once more, because it cannot be undone."""
    await here.person()
    return here.page("confirm", {})


@pages.post("/preferences/{token}/deletion")
async def delete(here: Visiting) -> Response:
    """Starts the erasure and goes on to the page that names it."""
    holder = here.holder()
    await here.person()
    job = await begun(here.world, (holder.identity, holder.type), THE_PERSON)
    return here.on_to(f"/deletion/{job.id}")


@pages.get("/preferences/{token}/deletion/{number}")
async def deleting(here: Visiting, number: str) -> Response:
    """Says under which number the erasure runs; looking at it again starts no other."""
    holder = here.holder()
    job = await here.world.erasures.find(number)
    if job is None or not _is_of(job, holder):
        raise Problem(404, "unknown_erasure", "no erasure of this person has this number")
    words = WORDS[here.language]
    return here.page("told", {"heading": words.deleted, "text": words.deleted_lead, "number": job.id})


def _is_of(job: Job, holder: Claim) -> bool:
    return (job.subject, job.subject_type) == (holder.identity, holder.type)


@pages.get("/preferences/{rest:path}")
async def nowhere() -> Response:
    """What a link that was cut off or added to leads to."""
    raise Problem(404, "unknown_link", "this is no link of ours; use it whole, as the message has it")


router.include_router(pages)
