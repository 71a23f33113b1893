"""A moment as a client writes it in a query: ISO 8601 or epoch milliseconds, never in the future. Knows no clock: the
present is told to it."""

from typing import Annotated

from fastapi import Query

from api.errors import Problem
from engine.errors import Rejected
from engine.events import parse_time

# 1970 to 9999: what can be shown as a date again
LATEST = 253_402_300_799_999
LONGEST_NUMBER = 15
At = Annotated[
    str | None,
    Query(
        max_length=40,
        description="The profile as it had been applied at this moment (ISO 8601, without a zone UTC; or milliseconds"
        " since 1970): events and links recorded by then, signals brought to then, and today's consent",
        examples=["2026-09-21T14:13:20Z"],
    ),
]


def moment(text: str, now: int) -> int:
    """Milliseconds. Raises a 400 for what is no time, or one that is still to come."""
    # in a query a plus sign means a space
    at = (
        int(text)
        if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER
        else _read(text.replace(" ", "+"))
    )
    if at is None or not 0 <= at <= LATEST:
        raise Problem(400, "invalid_time", "at is not a time; write for example 2026-01-31T12:00:00Z or 1769860800000")
    if at > now:
        raise Problem(400, "time_in_the_future", "at lies in the future; leave it out to get the profile as it is now")
    return at


def _read(text: str) -> int | None:
    try:
        return parse_time(text)
    except Rejected:
        return None
