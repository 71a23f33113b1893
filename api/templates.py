"""Pages as HTML: the template environment, its filters, and the headers every page goes out with. Knows formatting;
nothing of what a page is about."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from fastapi import Response

from api.schemas_people import PurposeAnswer, TimelineEvent
from engine.consent import GRANTED, REFUSALS
from models.scorer import PRIOR_VERSION

PAGES = Path(__file__).parent / "pages"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_WORDS = {
    "user_id": "Customer number",
    "crm_id": "CRM number",
    "email": "E-mail",
    "anonymous_id": "Anonymous id",
    "device_id": "Device",
    "push_token": "Push token",
    "profile_id": "Profile id",
    "sale_or_share": "Sale or sharing",
    "lightgbm": "LightGBM",
    "spec": "Feature spec",
}
_MONEY = ("value", "total", "revenue")


def label(name: object) -> str:
    """A machine word as people read it."""
    text = str(name)
    return _WORDS.get(text) or text.replace("_", " ").replace(".", " ").capitalize()


class Spoken(msgspec.Struct, frozen=True):
    """How a language writes values: yes and no, the decimal point, and the names of a value's parts."""

    yes_no: tuple[str, str]
    point: str
    named: Callable[[object], str]


ENGLISH = Spoken(("yes", "no"), ".", label)


def shown(value: Any, spoken: Spoken = ENGLISH) -> str:
    """A trait's value in a line of text; of a nested one each part with its name."""
    if isinstance(value, bool):
        return spoken.yes_no[0 if value else 1]
    if isinstance(value, float):
        return f"{value:.12g}".replace(".", spoken.point)
    if isinstance(value, dict):
        return ", ".join(f"{spoken.named(name)}: {_inner(part, spoken)}" for name, part in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(_inner(part, spoken) for part in value) or "–"
    return "–" if value is None else str(value)


def _inner(value: Any, spoken: Spoken) -> str:
    text = shown(value, spoken)
    return f"({text})" if isinstance(value, dict | list) and value else text


def day(instant: str) -> str:
    return instant[:10]


def moment(instant: str) -> str:
    return f"{instant[:10]} {instant[11:16]} UTC"


def number(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else "–" if value is None else str(value)


def share(value: float | None) -> str:
    """A share of one as a percentage; a dash where there is none."""
    return "–" if value is None else f"{value:.1%}"


def stance(answer: PurposeAnswer) -> str:
    """How a consent chip is coloured: a yes, a no, or neither."""
    return "yes" if answer.status == GRANTED else "no" if answer.status in REFUSALS else "open"


def headline(event: TimelineEvent) -> str:
    if event.kind == "outcome":
        return f"{label(event.name)}: {label(event.detail.get('action_id', ''))}"
    if event.kind == "decision":
        return f"Decision at {label(event.name)}"
    return label(event.name) if event.name == event.kind else event.name


def detail(event: TimelineEvent) -> str:
    """The event's properties worth a glance, in one line."""
    money = next(
        (f"{event.detail[n]} {event.detail.get('currency', '')}".strip() for n in _MONEY if n in event.detail), ""
    )
    words = [str(event.detail[n]) for n in ("title", "category", "topic", "channel") if n in event.detail]
    return " · ".join(part for part in (money, *words) if part)


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    made.filters.update({f.__name__: f for f in (label, shown, day, moment, number, share, stance, headline, detail)})
    made.globals["prior"] = PRIOR_VERSION
    return made


_TEMPLATES = _environment()


def render(name: str, values: Mapping[str, Any], status: int = 200) -> Response:
    """A page or a part of one, with the headers all of them carry."""
    html = _TEMPLATES.get_template(name).render(values)
    return Response(html, status, HEADERS, "text/html; charset=utf-8")
