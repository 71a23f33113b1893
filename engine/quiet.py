"""When somebody is not to be approached: the time zones that count for a person, the hours that are quiet in any of
them, and the first moment that is quiet in none. Knows nothing of actions, of queues or of how a zone was stated."""

from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from engine.catalog import ContactPolicy
from engine.consent import Consent
from engine.identifiers import time_zones
from engine.limits import AND, TIME_ZONE, quiet_hours, together
from engine.profile import Profile
from engine.signals import DAY

_PHONE, _SERVICE = "phone", "service"
# every zone turns its hours, and its clocks, at a quarter of UTC's hour; after two days the same hours come again
_QUARTER = DAY // 96
_AHEAD = 2 * DAY


def is_quiet(hour: int, policy: ContactPolicy) -> bool:
    start, end = policy.quiet_start, policy.quiet_end
    return start <= hour < end if start <= end else hour >= start or hour < end


def ever_quiet(channel: str, policy: ContactPolicy, consent: Consent) -> bool:
    """Whether the channel has quiet hours for this person, the policy's or their own."""
    return channel in policy.quiet_channels or bool(quiet_hours(consent.settings))


def located(consent: Consent, profile: Profile) -> Consent:
    """The consent with the person's zones among its settings: those that were stated, else all zones of the areas or
    countries of their phone numbers, as far as service may see these."""
    if TIME_ZONE in consent.settings or not consent.allows(_SERVICE):
        return consent
    numbers = (known.value for known in profile.state.identifiers.values() if known.type == _PHONE)
    found = together(zone for number in numbers for zone in time_zones(number))
    return msgspec.structs.replace(consent, settings={**consent.settings, TIME_ZONE: found}) if found else consent


def zones_of(consent: Consent, policy: ContactPolicy) -> str:
    """The zones whose clocks count, as one text: the person's, else the policy's."""
    return consent.settings.get(TIME_ZONE, policy.default_zone)


def hours_of(consent: Consent, policy: ContactPolicy, at: int) -> frozenset[int]:
    """The hours of the day (0 to 23) that it is at `at` (ms) in the person's zones."""
    return hours_at(at, zones_of(consent, policy), policy.default_zone)


def hours_at(at: int, zones: str, fallback: str) -> frozenset[int]:
    """The hours of the day at `at` (ms) in all these zones; an unknown one is read as the fallback."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return frozenset(moment.astimezone(zone).hour for zone in _zones(zones, fallback))


def first_loud(channel: str, policy: ContactPolicy, consent: Consent, at: int) -> int | None:
    """The first moment (ms) from `at` on that is quiet in none of the person's zones, neither by the policy nor by the
    person's own wish; None where it is always quiet in one of them."""
    quiet = quiet_hours(consent.settings)
    if channel in policy.quiet_channels:
        quiet |= {hour for hour in range(24) if is_quiet(hour, policy)}
    moments = chain((at,), range(at - at % _QUARTER + _QUARTER, at + _AHEAD, _QUARTER))
    return next((moment for moment in moments if quiet.isdisjoint(hours_of(consent, policy, moment))), None)


@lru_cache(maxsize=1024)
def _zones(names: str, fallback: str) -> tuple[ZoneInfo, ...]:
    return tuple({_zone(name, fallback) for name in names.split(AND)})


def _zone(*names: str) -> ZoneInfo:
    for name in names:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")
