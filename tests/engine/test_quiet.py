"""When nobody is to be approached: whose clocks count, and the first moment that is quiet by none of them."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from engine.catalog import ContactPolicy, instant
from engine.consent import Consent, Held, Purpose, Purposes, resolve
from engine.identifiers import Identifier
from engine.profile import Known, Profile, State
from engine.quiet import first_loud, located, zones_of
from tests.strategies import identifier

POLICY = Purposes({"service": Purpose("service", "contract")})
CONTACT = ContactPolicy(quiet_start=21, quiet_end=8, default_zone="UTC")


def consent(**settings: str) -> Consent:
    return resolve({"a": Held(settings=settings)}, POLICY)


def known_by(*identifiers: Identifier) -> Profile:
    named = {one.id: Known(one.type, one.value, 0) for one in identifiers}
    return Profile("a", tuple(named), 0, State(count=1, identifiers=named))


CALIFORNIA = identifier("phone", "+14155552671")
BERLIN = identifier("phone", "+4930123456")
NOBODY_KNOWS = identifier("phone", "+80012345678")


def test_a_stated_zone_outranks_those_of_numbers_and_these_the_policys() -> None:
    profile = known_by(CALIFORNIA, BERLIN, NOBODY_KNOWS)
    assert zones_of(located(consent(time_zone="Asia/Tokyo"), profile), CONTACT) == "Asia/Tokyo"
    assert zones_of(located(consent(), profile), CONTACT) == "America/Los_Angeles,Europe/Berlin"
    for unknown in (known_by(NOBODY_KNOWS), known_by(identifier("crm_id", CALIFORNIA.value)), known_by()):
        assert zones_of(located(consent(), unknown), CONTACT) == "UTC"


def test_numbers_that_service_may_not_see_name_no_zone() -> None:
    assert zones_of(located(consent(restriction="1"), known_by(CALIFORNIA)), CONTACT) == "UTC"


def local(written: str, zone: str) -> int:
    return int(datetime.fromisoformat(written).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "zone", "due"),
    [
        ("2026-07-01T12:00:00.001", "Europe/Berlin", "2026-07-01T12:00:00.001"),
        ("2026-07-01T22:40:17", "Europe/Berlin", "2026-07-02T08:00:00"),
        ("2026-03-28T23:30:00", "Europe/Berlin", "2026-03-29T08:00:00"),
        ("2026-10-24T23:30:00", "Europe/Berlin", "2026-10-25T08:00:00"),
        ("2026-07-01T05:00:00", "Asia/Kathmandu", "2026-07-01T08:00:00"),
    ],
)
def test_quiet_hours_end_by_the_clock_of_the_person_on_any_day(now: str, zone: str, due: str) -> None:
    assert first_loud("voice", CONTACT, consent(time_zone=zone), local(now, zone)) == local(due, zone)


def test_what_is_quiet_in_any_zone_is_quiet() -> None:
    said = consent(time_zone="Europe/Berlin,America/Los_Angeles")
    assert first_loud("voice", CONTACT, said, instant("2026-07-01T14:00:00Z", 0)) == instant("2026-07-01T15:00:00Z", 0)
    assert first_loud("voice", CONTACT, said, instant("2026-07-01T19:00:00Z", 0)) == instant("2026-07-02T15:00:00Z", 0)


def test_own_hours_are_quiet_on_every_channel_and_beside_the_policys() -> None:
    said, now = consent(quiet_hours="19:00-09:00"), instant("2026-07-01T19:30:00Z", 0)
    assert first_loud("voice", CONTACT, said, now) == instant("2026-07-02T09:00:00Z", 0)
    assert first_loud("email", CONTACT, said, now) == instant("2026-07-02T09:00:00Z", 0)
    assert first_loud("email", CONTACT, consent(), now) == now


@pytest.mark.parametrize("said", [{"quiet_hours": "00:00-24:00"}, {"quiet_hours": "08:00-21:00"}])
def test_where_it_is_always_quiet_there_is_no_moment(said: dict[str, str]) -> None:
    assert first_loud("voice", CONTACT, consent(**said), instant("2026-07-01T12:00:00Z", 0)) is None
