"""The bodies about consent signals and links for people, as frozen structs. Knows nothing of routes."""

from typing import Annotated

import msgspec

from api.schemas import Instant, Meta, Reference
from api.schemas_people import ConsentAnswer
from engine.bits import LONGEST

Topic = Annotated[str, Meta(min_length=1, max_length=64)]
MOST_PROFILES = 1000


class ConsentString(msgspec.Struct, frozen=True):
    """A person and the string that a consent tool keeps for them, exactly as the tool gives it."""

    profile: Reference
    string: Annotated[str, Meta(min_length=1, max_length=LONGEST)]


class HeardAnswer(msgspec.Struct, frozen=True):
    """What the string says about our purposes, which of its yes were left aside because the person has said something
    else since, and the consent as it is now."""

    heard: dict[str, bool]
    outdated: list[str]
    consent: ConsentAnswer


class UnsubscribeAsk(msgspec.Struct, frozen=True):
    """Whom a message is about to go to, by which channel, on which topic (`all`: every topic)."""

    profiles: Annotated[list[Reference], Meta(min_length=1, max_length=MOST_PROFILES)]
    channel: str = "email"
    topic: Topic = "all"


class UnsubscribeLink(msgspec.Struct, frozen=True):
    """A person's link, and the two headers (RFC 8058) that a message to them carries."""

    profile: Reference
    url: str
    headers: dict[str, str]


class UnsubscribeLinks(msgspec.Struct, frozen=True):
    """One link per profile, in the order they were named, and until when they hold."""

    links: list[UnsubscribeLink]
    expires_at: Instant


class OptInAsk(msgspec.Struct, frozen=True):
    """What somebody is asked to confirm. `preferences` maps a channel to topics."""

    profile: Reference
    purposes: Annotated[list[str], Meta(min_length=1, max_length=32)]
    preferences: Annotated[dict[str, Annotated[list[Topic], Meta(max_length=32)]], Meta(max_length=16)] = {}
    source: Annotated[str, Meta(max_length=128)] | None = None
    text_version: Annotated[str, Meta(max_length=128)] | None = None


class OptInAnswer(msgspec.Struct, frozen=True):
    """The link to send to the person, and nowhere else: it is told only here. Until it is used the answer is no."""

    state: str
    url: str
    expires_at: Instant


class PreferenceLink(msgspec.Struct, frozen=True):
    """A person's way to their own preference page, and until when it opens it."""

    url: str
    expires_at: Instant
