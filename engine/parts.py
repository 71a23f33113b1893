"""What each part of a profile is for (decision 6): a signal, the last choice, a line of the timeline. Knows nothing of
consent or of who asks; what a trait or an event of the company's own is for is configured."""

from engine.events import CONSENT_CHANGED
from engine.profile import ISSUE_EVENTS
from engine.signals import CONTACT_EVENTS

# What is needed to serve a customer under the contract is `service`; behaviour that is only watched to personalise is
# not.
SIGNAL_PURPOSES: dict[str, str] = {
    "events": "service",
    "contacts": "service",
    "complaints": "service",
    "purchases": "service",
    "revenue": "service",
    "sessions": "analytics",
    "page_views": "analytics",
    "product_views": "personalization",
    "responses": "personalization",
}
LATEST_PURPOSE = "personalization"
PAIR_PURPOSE = "personalization"

# A line of the timeline is for what the signal is for that counts its event; what is not listed is behaviour.
_CONVERSATIONS = (
    *("Live Chat Message Sent", "Live Chat Message Received", "Live Chat Conversation Ended"),
    *("Call Ended", "SMS Received", "Message Received"),
)
_ORDERS = ("Order Completed", "Order Updated", "Order Refunded", "Order Cancelled")
EVENT_PURPOSES: dict[str, str] = {
    **dict.fromkeys(_ORDERS, SIGNAL_PURPOSES["purchases"]),
    **dict.fromkeys((*CONTACT_EVENTS, *_CONVERSATIONS), SIGNAL_PURPOSES["contacts"]),
    **dict.fromkeys((*ISSUE_EVENTS, CONSENT_CHANGED), "service"),
    "Complaint Filed": SIGNAL_PURPOSES["complaints"],
    "Session Started": SIGNAL_PURPOSES["sessions"],
    "Product Viewed": SIGNAL_PURPOSES["product_views"],
}
KIND_PURPOSES: dict[str, str] = {
    **dict.fromkeys(("identify", "group", "alias", "merge", "decision"), "service"),
    **dict.fromkeys(("page", "screen"), SIGNAL_PURPOSES["page_views"]),
    "outcome": SIGNAL_PURPOSES["responses"],
}


def signal_purpose(name: str) -> str:
    if "@" in name:
        return PAIR_PURPOSE
    return SIGNAL_PURPOSES.get(name.partition(".")[0], PAIR_PURPOSE)
