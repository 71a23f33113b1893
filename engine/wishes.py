"""What a person wishes for being contacted, beside purposes and channels: how often at most, and not between which
hours. Narrows what the company's own contact policy allows; knows nothing of how wishes are spelt or stored."""

from collections.abc import Mapping, Sequence

from engine.catalog import Action, Placement
from engine.consent import Consent
from engine.decision import Blocked, Moments
from engine.limits import WINDOWS, at_most, quiet_hours
from engine.profile import Contact


def most_wished(settings: Mapping[str, str], contacts: Sequence[Contact], at: int) -> int | None:
    """How many more contacts the person wishes for at `at` (ms); None where nothing limits them."""
    return min((most - _made(contacts, window, at) for most, window in at_most(settings)), default=None)


def _made(contacts: Sequence[Contact], window: str, at: int) -> int:
    return sum(1 for contact in contacts if contact.approach and contact.at > at - WINDOWS[window])


def as_wished(
    action: Action, placement: Placement, consent: Consent, contacts: Sequence[Contact], now: Moments
) -> Blocked | None:
    """Whether the person's own wishes let the action through; they are about contacts only."""
    if not placement.contact:
        return None
    for most, window in at_most(consent.settings):
        made = _made(contacts, window, now.at)
        if made >= most:
            return Blocked(action.id, "frequency", f"{made} of {most} contacts wished for in {window} made")
    if not now.hours.isdisjoint(quiet_hours(consent.settings)):
        return Blocked(action.id, "quiet_hours", "the customer asked for no contact at this hour")
    return None
