"""The pages: sign-in, desk, a decision's permalink, console. They show what the API answers, through the same gate and
the same keys; scripts report outcomes to the API itself."""

import asyncio
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from api.answers import purposes_of
from api.audit import noted
from api.console_view import console_values
from api.deps import World, WorldNow, session_key
from api.erased import refuse_erased
from api.errors import Problem
from api.reading import read_bytes
from api.record_view import reader_of, recorded_decision, why_not_replayed
from api.serving import recorded
from api.session import COOKIE, LIFETIME_MS, Session, csrf_token, is_csrf_token, seal, sign_in, sign_out
from api.templates import HEADERS, PAGES, render
from engine.audit import DECISION
from engine.decision_id import profile_of
from engine.ports import ApiKey
from engine.records import DecisionRecord
from models.replay import NotReplayable, replay

router = APIRouter(include_in_schema=False)
PEOPLE = frozenset({"agent", "marketer", "engineer", "auditor", "admin"})
_ASSETS = {
    "rapport.css": "text/css; charset=utf-8",
    "desk.js": "text/javascript; charset=utf-8",
    "sign_in.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}
_BODIES = {name: (PAGES / "assets" / name).read_bytes() for name in _ASSETS}
_NO_KEY = "This is no valid API key of a role that may use the pages. Check it and try again."


@router.get("/assets/{name}")
async def read_asset(name: str) -> Response:
    """Style, scripts and the mark: all that the pages load."""
    if name not in _ASSETS:
        raise Problem(404, "not_found", "there is no such asset")
    return Response(_BODIES[name], headers={**HEADERS, "Cache-Control": "no-cache"}, media_type=_ASSETS[name])


@router.get("/")
async def start() -> Response:
    return RedirectResponse("/desk")


async def signed_in(request: Request, world: World) -> ApiKey | None:
    key = await session_key(request, world)
    return key if key is not None and key.role in PEOPLE else None


def gate(place: str, error: str = "", status: int = 401) -> Response:
    """The sign-in page; `place` is where it leads to."""
    return render("sign_in.html", {"next": place, "error": error, "who": None, "csrf": ""}, status)


def frame(request: Request, world: World, key: ApiKey, here: str) -> dict[str, Any]:
    """What every page's frame shows: who is signed in, which page this is, and the token scripts send back."""
    return {"who": key, "here": here, "csrf": csrf_token(world.secret, request.cookies[COOKIE])}


def _own_path(place: str) -> str:
    """Only our own pages: anything else would send a freshly signed-in person elsewhere."""
    return place if place in ("/desk", "/console") or place.startswith("/decision/") else "/desk"


async def _fields(request: Request) -> dict[str, str]:
    body = await read_bytes(request, 4096)
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


@router.post("/sign-in")
async def enter(request: Request, world: WorldNow) -> Response:
    """Trade an API key for a session cookie."""
    fields = await _fields(request)
    place = _own_path(fields.get("next", ""))
    key = await world.keys.find(fields.get("key", "").strip())
    if key is None or key.role not in PEOPLE:
        return gate(place, _NO_KEY)
    answer = RedirectResponse(place, 303)
    sign_in(request, answer, seal(world.secret, Session(key.name, world.clock() + LIFETIME_MS)))
    return answer


@router.post("/sign-out")
async def leave(request: Request, world: WorldNow) -> Response:
    """End the session; the form's token shows that our own page asked for it."""
    cookie = request.cookies.get(COOKIE, "")
    if not is_csrf_token(world.secret, cookie, (await _fields(request)).get("csrf", "")):
        raise Problem(403, "csrf", "the page's token is missing or old; reload the page and try again")
    answer = RedirectResponse("/desk", 303)
    sign_out(answer)
    return answer


@router.get("/decision/{decision_id}")
async def read_permalink(request: Request, decision_id: str, world: WorldNow) -> Response:
    """What was known, used, masked and blocked when this was decided."""
    key = await signed_in(request, world)
    if key is None:
        return gate(f"/decision/{decision_id}")
    values = frame(request, world, key, "decision")
    try:
        await refuse_erased(world, decision_id)
    except Problem as gone:
        text = "The person this decision was about was erased. Nothing of it is kept."
        return render("problem.html", {**values, "title": "Erased", "text": text}, gone.status)
    record = await recorded(world, decision_id)
    if record is None:
        text = "No decision has this id. Ids are kept exactly as the API gave them."
        return render("problem.html", {**values, "title": "No such decision", "text": text}, 404)
    view = await world.people.person(profile_of(decision_id))
    noted(world, key, DECISION, view.profile_id)
    policy, at = world.now.purposes, world.clock()
    reader = reader_of(view, purposes_of(key, policy), policy, at)
    shown = await asyncio.to_thread(recorded_decision, record, reader, world.past)
    titles = {action.id: action.title for action in world.now.catalogue.actions.values()}
    why_not = why_not_replayed(record, view, key, policy, at)
    again = _refused(why_not) if why_not else await asyncio.to_thread(_replayed, record, world)
    return render("decision/decision.html", {**values, "decision": shown, "titles": titles, "again": again})


def _refused(why: str) -> tuple[str, str]:
    return f"not replayed: {why}", "POST …/replay answers this key the same"


def _replayed(record: DecisionRecord, world: World) -> tuple[str, str]:
    """How a replay of the decision ends, in a word, and what there is to say about it."""
    try:
        made = replay(record, world.past)
    except NotReplayable as error:
        return "cannot be replayed", str(error)
    if made.identical:
        return "identical", "made again from its record just now: the same bytes"
    return "different", "made again from its record just now, it is not the same; POST …/replay says where"


@router.get("/console")
async def read_console(request: Request, world: WorldNow) -> Response:
    """Models, health, queues and actions at a glance."""
    key = await signed_in(request, world)
    if key is None:
        return gate("/console")
    return render("console/console.html", {**frame(request, world, key, "console"), **await console_values(world)})
