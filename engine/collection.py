"""Whether what a sender's event says may be kept: the collection verdict. Knows a source's settings and what the
people a batch names have said; it reads nothing itself and never decides about use, only about keeping."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.carried import Forms, carried_consent
from engine.consent import REFUSALS, Held, standing
from engine.events import CONSENT_CHANGED, Event
from engine.identifiers import Identifier, identifier_id
from engine.ports import ConsentChange
from engine.statement import carried_by, placed, taken

KEEP, DROP, PSEUDONYMISE = "keep", "drop", "pseudonymise"
PSEUDONYM = "pseudonym"
# orjson reads 1,024 levels and writes 254; a few are around an item
WRITABLE_LEVELS = 200
_CONTEXT_OF_NOBODY = ("channel", "locale", "timezone")
# a page, a screen or a group is called what its author likes, after the person for example
_NAMED_FREELY = frozenset({"page", "screen", "group"})


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


class Collected(msgspec.Struct, frozen=True):
    """What may be kept of a batch, as it may be kept, and how many events were left out or lost their person."""

    events: list[Event]
    dropped: int = 0
    pseudonymised: int = 0


class Known:
    """What people hold while a batch is walked: `said` as it was read, and what the events before have said since.

    A yes counts under the identifiers that are one person with its home already, a no under every identifier it names.
    Whether a no only repeats itself, the door cannot know: until the next batch it counts.
    """

    def __init__(self, said: Mapping[str, Mapping[str, Held]]) -> None:
        self._said = said
        self._since: dict[str, Held] = {}

    def by(self, ids: Sequence[str]) -> dict[str, Held]:
        """What everybody holds who is one person with any of these ids."""
        held = {member: one for i in ids for member, one in self._said.get(i, {}).items()}
        if self._since:
            held |= {member: self._since[member] for member in (*held, *ids) if member in self._since}
        return held

    def hear(self, event: Event) -> None:
        if not event.explicit and not event.browser and all((event.consent or {}).values()):
            return
        held = self.by(event.ids)
        named = dict.fromkeys((*event.ids, *held))
        for one in carried_by(event):
            if one.yes and not event.explicit:
                continue
            said = msgspec.structs.replace(one.statement, covers=tuple(named) if one.yes else ())
            for member, statement in placed(said, event.home, named):
                self._take(member, held, ConsentChange({one.purpose: statement}))

    def _take(self, member: str, held: Mapping[str, Held], change: ConsentChange) -> None:
        self._since[member] = taken(self._since.get(member, held.get(member, Held())), change)


def _refused(held: Mapping[str, Held], purpose: str) -> bool:
    return any(said.status in REFUSALS for said in standing(held, purpose))


def refuses(held: Mapping[str, Held], event: Event, purpose: str) -> bool:
    """Whether collection for `purpose` was explicitly refused: by the event itself, or by what anybody it names has
    said (`held`) and no later yes has replaced. Who was never asked did not refuse."""
    carried = event.consent is not None and event.consent.get(purpose) is False
    return carried or purpose in event.browser or _refused(held, purpose)


def pseudonymised(event: Event, secret: bytes) -> Event:
    """The event without anything that names somebody, under a home that nobody without the secret can lead back."""
    home = identifier_id(secret, PSEUDONYM, event.home)
    return msgspec.structs.replace(
        event,
        name="" if event.kind in _NAMED_FREELY else event.name,
        home=home,
        identifiers=(Identifier(PSEUDONYM, home, home),),
        traits={},
        properties={},
        context={name: value for name, value in event.context.items() if name in _CONTEXT_OF_NOBODY},
        consent=None,
        browser=(),
    )


def narrowing(event: Event, known: Known) -> list[Event]:
    """What is left of an event that may not be kept: the refusals it carried, for each identifier it names whose person
    was not known to refuse yet, and nothing else. A refusal must not be lost with the event that brought it, nor may
    the identifiers be linked by it."""
    left: list[Event] = []
    for number, identifier in enumerate(event.identifiers):
        held = known.by((identifier.id,))
        news = {p: False for p, yes in (event.consent or {}).items() if not yes and not _refused(held, p)}
        browser = tuple(purpose for purpose in event.browser if not _refused(held, purpose))
        if news or browser:
            left.append(_only(event, identifier, f"{event.message_id}:consent{number or ''}", news, browser))
    return left


def _only(
    event: Event, identifier: Identifier, message_id: str, consent: dict[str, bool], browser: tuple[str, ...]
) -> Event:
    return msgspec.structs.replace(
        event,
        message_id=message_id,
        kind="track",
        name=CONSENT_CHANGED,
        home=identifier.id,
        identifiers=(identifier,),
        traits={},
        properties={},
        context={},
        consent=consent,
        browser=browser,
    )


def is_writable(value: Any) -> bool:
    """Whether a JSON value that was read can be written again, too: a writer takes fewer levels than a reader."""
    level = [value]
    for _ in range(WRITABLE_LEVELS):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False


def kept_of_rejected(
    item: Mapping[str, Any], source: Source, forms: Forms, browser: Sequence[str] = ()
) -> Mapping[str, Any]:
    """What may be kept of an item that was not accepted, until somebody looks at it: of one that refuses to be
    collected, by itself or by its `browser`, or that cannot be written, only what tells its sender which it was."""
    context = item.get("context")
    said = carried_consent(context, forms) if source.asks and isinstance(context, dict) else None
    refused = said is not None and said.get(source.collection_purpose) is False
    if not refused and not (source.asks and source.collection_purpose in browser) and is_writable(item):
        return item
    return {name: item[name] for name in ("type", "messageId") if isinstance(item.get(name), str)}


def collected(
    events: Sequence[Event], said: Mapping[str, Mapping[str, Held]], source: Source, secret: bytes
) -> Collected:
    """The events that may be kept, as they may be kept, each judged after what those before it have said. An explicit
    change of consent always passes. `said` is, for every id the events name, what everybody holds who is one person
    with it."""
    if not source.asks:
        return Collected(list(events))
    kept: list[Event] = []
    refused = 0
    known = Known(said)
    for event in events:
        if event.explicit or not refuses(known.by(event.ids), event, source.collection_purpose):
            kept.append(event)
        else:
            refused += 1
            kept += narrowing(event, known)
            kept += [pseudonymised(event, secret)] if source.on_refusal == PSEUDONYMISE else []
        if event.consent or event.browser:
            known.hear(event)
    by_verdict = {"pseudonymised" if source.on_refusal == PSEUDONYMISE else "dropped": refused}
    return Collected(kept, **by_verdict)
