"""Whether what a sender's event says may be kept: the collection verdict. Knows a source's settings and what was said
under the homes of a batch; it reads nothing itself and never decides about use, only about keeping."""

from collections.abc import Mapping, Sequence

import msgspec

from engine.consent import REFUSALS, Held
from engine.events import Event
from engine.identifiers import Identifier, identifier_id

KEEP, DROP, PSEUDONYMISE = "keep", "drop", "pseudonymise"
PSEUDONYM = "pseudonym"


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is agreed with one sender of events. `categories` maps its consent categories to our purposes; an explicit
    refusal of `collection_purpose` has the effect `on_refusal` on collection."""

    categories: dict[str, str] = {}
    alias_type: str = "anonymous_id"
    on_refusal: str = KEEP
    collection_purpose: str = ""

    @property
    def asks(self) -> bool:
        """Whether a verdict needs to know what people said at all."""
        return self.on_refusal != KEEP and bool(self.collection_purpose)


def refuses(held: Held | None, event: Event, purpose: str) -> bool:
    """Whether collection for `purpose` was explicitly refused: by the event itself, or by the latest thing said under
    its home. Who was never asked did not refuse."""
    if event.consent is not None and event.consent.get(purpose) is False:
        return True
    said = held.statements.get(purpose, ()) if held is not None else ()
    latest = max(said, key=lambda s: (s.at, s.status in REFUSALS), default=None)
    return latest is not None and latest.status in REFUSALS


def pseudonymised(event: Event, secret: bytes) -> Event:
    """The event without anything that names somebody, under a home that cannot be led back to the first one."""
    home = identifier_id(secret, PSEUDONYM, event.home)
    named = (Identifier(PSEUDONYM, home, home),)
    context = {name: value for name, value in event.context.items() if name in ("channel", "locale", "timezone")}
    return msgspec.structs.replace(
        event, home=home, identifiers=named, traits={}, properties={}, context=context, consent=None
    )


def collected(events: Sequence[Event], held: Mapping[str, Held], source: Source, secret: bytes) -> list[Event]:
    """The events that may be kept, as they may be kept. An explicit change of consent always passes."""
    if not source.asks:
        return list(events)
    kept = []
    for event in events:
        if event.explicit or not refuses(held.get(event.home), event, source.collection_purpose):
            kept.append(event)
        elif source.on_refusal == PSEUDONYMISE:
            kept.append(pseudonymised(event, secret))
    return kept
