"""The pages behind links that people get by mail: one button, or one sentence. Knows their words in each language and
how their form is read; nothing of what pressing the button does."""

from typing import Any

import msgspec
from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Message

from api.errors import Problem
from api.preference_words import WORDS as CALLED
from api.preference_words import named
from api.reading import read_bytes
from api.templates import render

MOST_BYTES = 8192
MOST_FIELDS = 8
LANGUAGES = ("en", "de")
FORMS: dict[str, Any] = {
    "application/x-www-form-urlencoded": {},
    "multipart/form-data": {},
}


class Words(msgspec.Struct, frozen=True):
    """A page's texts; `button` only where there is one."""

    title: str
    text: str
    button: str = ""


UNSUBSCRIBE, UNSUBSCRIBED, OPT_IN = "unsubscribe", "unsubscribed", "opt_in"
CONFIRMED, EXPIRED, WITHDRAWN, UNKNOWN = "confirmed", "expired", "withdrawn", "unknown"
# what is stored of a link goes with the person, so one that was cut off and one of somebody erased look alike
FORGOTTEN = "forgotten"
_CUT, _CUT_DE = "Please use the whole link from the message.", "Bitte den ganzen Link verwenden."
_WORDS: dict[str, dict[str, Words]] = {
    "en": {
        UNSUBSCRIBE: Words("Unsubscribe", "Press the button and we write to you no more about:", "Unsubscribe"),
        UNSUBSCRIBED: Words("You are unsubscribed", "It holds from now on. We write to you no more about:"),
        OPT_IN: Words("Please confirm", "Press the button to say yes to:", "Yes, I agree"),
        CONFIRMED: Words("Thank you", "You have confirmed it. You can change your mind at any time."),
        EXPIRED: Words("This link has expired", "Nothing was changed. Please ask for a new one."),
        WITHDRAWN: Words("This link does not count any more", "You have said no since. Nothing was changed."),
        UNKNOWN: Words("This link is not valid", f"{_CUT} Nothing was changed."),
        FORGOTTEN: Words(
            "This link is not valid", f"{_CUT} If your data was deleted since, it counts no more. Nothing was changed."
        ),
    },
    "de": {
        UNSUBSCRIBE: Words("Abmelden", "Mit der Schaltfläche beenden Sie unsere Nachrichten zu:", "Abmelden"),
        UNSUBSCRIBED: Words("Sie sind abgemeldet", "Das gilt ab sofort. Wir schreiben Ihnen nicht mehr zu:"),
        OPT_IN: Words("Bitte bestätigen", "Mit der Schaltfläche sagen Sie Ja zu:", "Ja, ich stimme zu"),
        CONFIRMED: Words("Danke", "Sie haben bestätigt. Sie können es sich jederzeit anders überlegen."),
        EXPIRED: Words("Dieser Link ist abgelaufen", "Es wurde nichts geändert. Bitte fordern Sie einen neuen an."),
        WITHDRAWN: Words("Dieser Link gilt nicht mehr", "Sie haben seither Nein gesagt. Es wurde nichts geändert."),
        UNKNOWN: Words("Dieser Link ist ungültig", f"{_CUT_DE} Es wurde nichts geändert."),
        FORGOTTEN: Words(
            "Dieser Link ist ungültig",
            f"{_CUT_DE} Wurden Ihre Daten seither gelöscht, gilt er nicht mehr. Es wurde nichts geändert.",
        ),
    },
}  # fmt: skip
STATUSES = {EXPIRED: 410, WITHDRAWN: 410, UNKNOWN: 404, FORGOTTEN: 404}
_EVERYTHING = {"en": "everything", "de": "alles"}


def language(request: Request) -> str:
    """The first language the browser names that we have, else English."""
    named = (
        part.partition(";")[0].strip()[:2].lower() for part in request.headers.get("accept-language", "").split(",")
    )
    return next((one for one in named if one in LANGUAGES), LANGUAGES[0])


def topic_words(request: Request, channel: str, topic: str) -> str:
    """A channel and a topic in a line, as the preference page calls them."""
    spoken = language(request)
    return f"{named(CALLED[spoken], channel)} · {_EVERYTHING[spoken] if topic == 'all' else topic}"


def ask(request: Request, name: str, what: str, field: tuple[str, str]) -> Response:
    """A page with one button, which sends `field` back to the same address."""
    spoken = language(request)
    return render("unsubscribe/ask.html", {"lang": spoken, "words": _WORDS[spoken][name], "what": what, "field": field})


def tell(request: Request, name: str, what: str = "") -> Response:
    """A page that says what became of it."""
    spoken = language(request)
    values = {"lang": spoken, "words": _WORDS[spoken][name], "what": what}
    return render("unsubscribe/told.html", values, STATUSES.get(name, 200))


def is_read(request: Request) -> bool:
    """Whether a person with a browser asks, who reads pages, rather than a mail program."""
    return "text/html" in request.headers.get("accept", "")


async def form_field(request: Request, name: str) -> str:
    """One field of a small form; empty where it is not there. The case of names does not count (RFC 8058)."""
    return (await form_fields(request)).get(name.casefold(), "")


async def form_fields(request: Request) -> dict[str, str]:
    """A small form, urlencoded or multipart, by lower-case name; the first of each counts. Raises a 400 problem for
    a form that cannot be read."""
    body = await read_bytes(request, MOST_BYTES)

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        form = await Request(request.scope, again).form(max_files=0, max_fields=MOST_FIELDS)
    except HTTPException as error:
        raise Problem(400, "malformed_form", "the body is no form; send it urlencoded or as form data") from error
    found: dict[str, str] = {}
    for key, value in form.multi_items():
        if isinstance(value, str):
            found.setdefault(key.casefold(), value)
    return found
