"""The agent's desk: its page, and the two parts its script asks for when a customer is on the line. Who may see what is
decided by the same gate as in the API; references travel in bodies, so that no log sees them."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from api.answers import Seen, look, profile_answer, timeline_page
from api.audit import noted, noted_if_about_somebody
from api.deps import World, WorldNow, require
from api.reading import read_json
from api.routes.decisions import serving_of
from api.routes.pages import frame, gate, signed_in
from api.schemas import DecisionAsk
from api.schemas_people import LookupAsk, ProfileAnswer
from api.serving import reference
from api.templates import render
from engine.audit import DESK
from engine.ports import ApiKey

router = APIRouter(include_in_schema=False)
Agent = Annotated[ApiKey, Depends(require("agent", "marketer", "engineer", "auditor", "admin"))]
PLACEMENT = "agent_desktop"
SHOWN_EVENTS = 30
TOPICS = ("invoice", "speed", "contract", "device", "payment")
_LOOKUP = msgspec.json.Decoder(LookupAsk)


class DeskAsk(msgspec.Struct, frozen=True):
    """Who is on the line and what the agent knows about the call."""

    profile: str
    context: dict[str, Any] = {}


_ASK = msgspec.json.Decoder(DeskAsk)


def _reasons(world: World) -> list[str]:
    """The call reasons that any action's weight names."""
    named = {
        key.partition(":")[2]
        for a in world.now.catalogue.actions.values()
        for key in a.weights
        if key.startswith("reason:")
    }
    return sorted(named)


@router.get("/desk")
async def read_desk(request: Request, world: WorldNow) -> Response:
    """The desk, empty: its script fills it from the address's fragment or the search field."""
    key = await signed_in(request, world)
    if key is None:
        return gate("/desk")
    kinds = [*world.now.identity.types, "profile_id"]
    values = {"kinds": kinds, "reasons": _reasons(world), "topics": TOPICS}
    return render("desk/desk.html", {**frame(request, world, key, "desk"), **values})


def _name(person: ProfileAnswer) -> str:
    traits = person.traits
    first = traits.get("name") or traits.get("first_name") or traits.get("firstName")
    last = traits.get("last_name") or traits.get("lastName") or ""
    found = f"{first} {last}".strip() if first else ""
    nothing = "Restricted" if person.consent.restricted else "Known, but nothing to show"
    return found or next((i.value for i in person.identifiers), "") or nothing


def _facts(person: ProfileAnswer) -> dict[str, Any]:
    """Traits that the header and the identifiers do not already show."""
    shown = {i.type for i in person.identifiers} | {"name", "first_name", "firstName", "last_name", "lastName"}
    return {name: value for name, value in person.traits.items() if name not in shown}


def _tiles(person: ProfileAnswer) -> list[dict[str, Any]]:
    signals = person.signals
    tiles = [
        ("Open issues", signals.get("unresolved_issues"), True),
        ("Contacts", signals.get("contacts_total"), False),
        ("Purchases", signals.get("purchases_total"), False),
        ("Events", signals.get("events_total"), False),
    ]
    return [
        {"name": name, "value": "–" if value is None else f"{value:.0f}", "alert": warns and bool(value)}
        for name, value, warns in tiles
    ]


@router.post("/desk/customer")
async def show_customer(request: Request, key: Agent, world: WorldNow) -> Response:
    """Profile, consent and timeline as a part of the page."""
    ask = await read_json(request, _LOOKUP)
    view = await world.people.person(reference(world, ask.profile).id)
    if not view.met:
        return render("desk/stranger.html", {"ref": view.profile_id})
    noted(world, key, DESK, view.profile_id)
    seen: Seen = look(view, key, world.now.purposes, world.clock())
    person = profile_answer(seen, world.clock())
    events, _ = timeline_page(seen.visible.timeline, None, SHOWN_EVENTS)
    values = {
        "ref": view.profile_id,
        "person": person,
        "name": _name(person),
        "facts": _facts(person),
        "tiles": _tiles(person),
        "events": events,
    }
    return render("desk/customer.html", values)


@router.post("/desk/actions")
async def show_actions(request: Request, key: Agent, world: WorldNow) -> Response:
    """A decision of ours at the agent's desk, as a part of the page."""
    ask = await read_json(request, _ASK)
    world.reads.ready()
    record = await serving_of(request).decide(DecisionAsk(ask.profile, PLACEMENT, ask.context))
    noted_if_about_somebody(world, key, record)
    titles = {action.id: action.title for action in world.now.catalogue.actions.values()}
    dearest = max((a["value"] for a in record.answer["actions"]), default=0.0) or 1.0
    values = {"answer": record.answer, "titles": titles, "top_value": dearest}
    return render("desk/actions.html", values)
