"""A small catalogue, purposes and people for the tests of the models; everything is built through the engine."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.catalog import Catalogue, parse_catalogue
from engine.consent import Held, Purpose, Purposes, Statement
from engine.events import Event
from engine.ports import PersonView, Stored
from engine.profile import Fragment, fold
from engine.records import Position
from engine.signals import DAY
from models.scorer import PriorModel, Scorer
from models.serving import Ask, Setting

NOW = 1_800_000_000_000
ID = "person000000000a"
GRANTS = ("personalization", "analytics", "marketing")

PURPOSES = Purposes(
    purposes={
        "service": Purpose("service", basis="contract"),
        "analytics": Purpose("analytics", default={"US": True}),
        "personalization": Purpose("personalization", default={"US": True}),
        "marketing": Purpose("marketing", default={"US": True}),
        "model_training": Purpose("model_training", default={"US": True}),
    },
    traits={"plan": "service", "email": "service", "country": "service", "name": "service"},
    countries={"US": "US", "DE": "GDPR"},
)


def action(name: str, **changes: Any) -> dict[str, Any]:
    """An action as the catalogue file writes it."""
    return {
        "id": name,
        "title": name.replace("_", " ").capitalize(),
        "category": "care",
        "purpose": "service",
        "channels": ["voice", "email", "web"],
        "placements": ["agent_desktop", "email"],
        "content": {"en": f"Talk about {name}.", "de": f"Reden wir über {name}."},
        "value": 10.0,
        "prior_rate": 0.1,
        **changes,
    }


ACTIONS: tuple[dict[str, Any], ...] = (
    action("call_back", prior_rate=0.3, content={"en": "Hello {name}, when may we call?"}),
    action("apology_credit", value=15.0, when="signals.unresolved_issues > 0.0", group="goodwill"),
    action("loyalty_gift", value=12.0, group="goodwill", prior_rate=0.2, cap={"30d": 1}),
    action("payment_plan", category="billing", value=25.0, weights={"reason:billing": 3.0}),
    action("plan_upgrade", category="plans", purpose="marketing", value=60.0, when="has(traits.plan)", lever=1.1),
    action("handset", category="devices", purpose="marketing", value=80.0, prior_rate=0.05, explorable=False),
    action("e_bill", category="billing", value=5.0, prior_rate=0.4),
    action("survey", value=2.0, prior_rate=0.25),
    action("old_offer", end="2020-01-01"),
)


def catalogue(
    actions: Sequence[Mapping[str, Any]] = ACTIONS, placements: Sequence[Mapping[str, Any]] | None = None, **more: Any
) -> Catalogue:
    shown = placements or (
        {
            "id": "agent_desktop",
            "channel": "voice",
            "limit": 3,
            "exploration": {"kind": "epsilon", "share": 0.1},
        },
        {"id": "email", "channel": "email", "limit": 1, "contact": True},
    )
    policy = {"caps": {"7d": 3}, "quiet_channels": ["email"], "default_zone": "UTC"}
    document = {"version": "test-1", "actions": list(actions), "placements": list(shown), "contact_policy": policy}
    return parse_catalogue({**document, "segment": "has(traits.plan) ? traits.plan : 'none'", **more})


def event(number: int, kind: str = "track", name: str = "", **fields: Any) -> Event:
    at = fields.pop("at", NOW - DAY + number)
    return Event(f"m{number}", "test", kind, name, at, at, ID, (), **fields)


def history() -> list[Event]:
    """A customer with a plan, purchases of devices, a support contact and an open issue."""
    traits = {"plan": "gold", "country": "DE", "name": "Ann", "segment": "champions", "age": 41}
    return [
        event(1, "identify", traits=traits),
        event(2, name="Order Completed", properties={"category": "devices", "revenue": 99.5}),
        event(3, name="Product Viewed", properties={"category": "plans"}),
        event(4, name="Support Contact", properties={"channel": "voice"}),
        event(5, name="Issue Opened", properties={"issueId": "i1", "topic": "outage"}),
        event(6, "page", name="Home"),
    ]


def held(granted: Sequence[str] = GRANTS, denied: Sequence[str] = (), **settings: str) -> dict[str, Held]:
    statements: dict[str, tuple[Statement, ...]] = {
        p: (Statement("granted", NOW - 2 * DAY, "test", True, (ID,)),) for p in granted
    }
    statements.update({p: (Statement("denied", NOW - 2 * DAY, "test"),) for p in denied})
    return {ID: Held(statements, {}, settings, len(statements))}


def view(events: Sequence[Event] = (), consent: dict[str, Held] | None = None) -> PersonView:
    fragment = Fragment(ID)
    for one in events:
        fragment = fold(fragment, one)
    stored = (Stored(Position(1, 0, len(events)), NOW, fragment),) if events else ()
    return PersonView(ID, (ID,), 0, stored, held() if consent is None else consent)


def ask(person: PersonView, number: int = 0, placement: str = "agent_desktop", **more: Any) -> Ask:
    context = more.pop("context", {"reason": "billing"})
    return Ask(person, placement, context, f"{ID}.{number:026d}", more.pop("at", NOW), **more)


def setting(model: Scorer | None = None, own: Catalogue | None = None) -> Setting:
    return Setting(own or catalogue(), PURPOSES, model or PriorModel(), {})
