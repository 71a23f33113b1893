"""What people wish for being contacted, as their settings spell it: how often at most, and not in which hours of which
time zones. Where the ids of one person say different things, all of it holds. Knows the spelling; nothing of contacts
or clocks."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from engine.signals import DAY

WINDOWS = {"1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
FREQUENCY, QUIET_HOURS, TIME_ZONE = "frequency", "quiet_hours", "time_zone"
NARROWING = (FREQUENCY, QUIET_HOURS, TIME_ZONE)
AND = ","


def together(wishes: Iterable[str]) -> str:
    """Several wishes as one, each of which holds."""
    return AND.join(sorted({one for said in wishes for one in said.split(AND) if one}))


def at_most(settings: Mapping[str, str]) -> tuple[tuple[int, str], ...]:
    """How many contacts in which window; none where the person set no limit."""
    return _limits(settings.get(FREQUENCY, ""))


def quiet_hours(settings: Mapping[str, str]) -> frozenset[int]:
    """The hours of the day in which the person wants no contact; begun hours count whole."""
    return _quiet(settings.get(QUIET_HOURS, ""))


# asked for every candidate of a decision, and mostly for the same few texts
@lru_cache(maxsize=1024)
def _limits(said: str) -> tuple[tuple[int, str], ...]:
    parts = [one.strip().partition("/") for one in said.split(AND)]
    return tuple((int(most), window) for most, _, window in parts if most.isdigit() and window in WINDOWS)


@lru_cache(maxsize=1024)
def _quiet(said: str) -> frozenset[int]:
    return frozenset(hour for one in said.split(AND) for hour in _hours(one.strip()))


def _hours(said: str) -> Iterable[int]:
    start, _, end = said.partition("-")
    if not (start[:2].isdigit() and end[:2].isdigit()):
        return ()
    first, last = int(start[:2]), int(end[:2]) + (end[3:] > "00")
    return range(first, last) if start <= end else (*range(first, 24), *range(last))


def loosened(before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether the later settings allow a contact that the earlier ones did not."""
    kept = at_most(after)
    lifted = (
        not any(now <= most and WINDOWS[longer] >= WINDOWS[window] for now, longer in kept)
        for most, window in at_most(before)
    )
    return any(lifted) or not (quiet_hours(before) <= quiet_hours(after) and _zones(before) <= _zones(after))


def _zones(settings: Mapping[str, str]) -> frozenset[str]:
    """The stated zones: an hour that is quiet in one of them may be none without it."""
    return frozenset(zone for zone in settings.get(TIME_ZONE, "").split(AND) if zone)
