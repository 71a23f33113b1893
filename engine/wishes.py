"""What a person wishes for being contacted, beside purposes and channels: how often at most, and not between which
hours. Narrows what the company's own contact policy allows; knows nothing of how wishes are stored."""

from collections.abc import Mapping, Sequence

from engine.catalog import WINDOWS, Action, Placement
from engine.consent import Consent
from engine.decision import Blocked, Moments
from engine.profile import Contact

# by which ways a person may say yes or no to being contacted
CHANNELS = ("email", "sms", "voice", "whatsapp", "push", "chat", "web")


def at_most(settings: Mapping[str, str]) -> tuple[int, str] | None:
    """How many contacts in which window; None where the person set no limit."""
    most, _, window = settings.get("frequency", "").partition("/")
    return (int(most), window) if most.isdigit() and window in WINDOWS else None


def is_unwanted(settings: Mapping[str, str], hour: int) -> bool:
    """Whether the hour lies in the person's own quiet hours; begun hours count whole."""
    start, _, end = settings.get("quiet_hours", "").partition("-")
    if not (start[:2].isdigit() and end[:2].isdigit()):
        return False
    first, last = int(start[:2]), int(end[:2]) + (end[3:] > "00")
    return first <= hour < last if first <= last else hour >= first or hour < last


def as_wished(
    action: Action, placement: Placement, consent: Consent, contacts: Sequence[Contact], now: Moments
) -> Blocked | None:
    """Whether the person's own wishes let the action through; they are about contacts only."""
    if not placement.contact:
        return None
    limit = at_most(consent.settings)
    if limit is not None:
        most, window = limit
        made = sum(1 for contact in contacts if contact.at > now.at - WINDOWS[window])
        if made >= most:
            return Blocked(action.id, "frequency", f"{made} of {most} contacts wished for in {window} made")
    if is_unwanted(consent.settings, now.hour):
        return Blocked(action.id, "quiet_hours", "the customer asked for no contact at this hour")
    return None
