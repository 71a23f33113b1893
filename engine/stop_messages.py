"""Messages that mean "write no more": STOP and its like, where the whole message says so, on channels like SMS. Knows
the words and what a message may leave behind; the text itself never passes the door."""

import unicodedata
from typing import Any

import msgspec

from engine.consent import EVERY_TOPIC
from engine.events import Event
from engine.ports import Circumstances, ConsentChange, PersonView

TOPIC_ONLY, ALL_TOPICS = "topic", "all"
LONGEST_TOPIC = 64
STOP_MARK = "stop"
# events that bring in a message -> the channel where their properties name none
_INCOMING: dict[str, str] = {"SMS Received": "sms", "Message Received": ""}
_LIKE_SMS: dict[str, str] = {"sms": "sms", "mms": "sms", "rcs": "sms", "whatsapp": "whatsapp"}
_TEXTS = ("body", "text", "message", "content")


class StopRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which words stop, and whether a stop ends the `topic` the message was about or `all` of its channel."""

    words: tuple[str, ...] = ("stop", "stopall", "quit", "end", "revoke", "opt out", "optout", "cancel", "unsubscribe")
    scope: str = TOPIC_ONLY


class Stop(msgspec.Struct, frozen=True):
    """Somebody wants no more of a topic on a channel. `identities` are the ids the message named, its home first."""

    identities: tuple[str, ...]
    channel: str
    topic: str


def is_stop(text: str, rules: StopRules) -> bool:
    """Whether the whole message is one of the words; case, width, spaces and punctuation aside."""
    return _spelt(text) in {_spelt(word) for word in rules.words}


def _spelt(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _channel(name: str, properties: dict[str, Any]) -> str | None:
    if name not in _INCOMING:
        return None
    named = properties.get("channel")
    spoken = named.strip().lower() if isinstance(named, str) and named else _INCOMING[name]
    return _LIKE_SMS.get(spoken)


def muted(item: Any, rules: StopRules) -> Any:
    """A raw item as it may go on: an incoming message on a channel like SMS without its text, marked where it was a
    stop. Everything else as it is."""
    name = item.get("event") if isinstance(item, dict) else None
    if not isinstance(name, str) or name not in _INCOMING:
        return item
    properties = item.get("properties")
    if not isinstance(properties, dict) or _channel(name, properties) is None:
        return item
    texts = [said for name, said in properties.items() if name.casefold() in _TEXTS and isinstance(said, str)]
    left = {name: value for name, value in properties.items() if name.casefold() not in _TEXTS}
    marked = {STOP_MARK: True} if any(is_stop(text, rules) for text in texts) else {}
    return {**item, "properties": {**left, **marked}}


def stop_of(event: Event, rules: StopRules) -> Stop | None:
    """The stop in an accepted event, if it is one."""
    if event.kind != "track" or event.properties.get(STOP_MARK) is not True:
        return None
    channel = _channel(event.name, event.properties)
    if channel is None:
        return None
    named = event.properties.get("topic")
    known = rules.scope == TOPIC_ONLY and isinstance(named, str) and 0 < len(named) <= LONGEST_TOPIC
    return Stop(event.ids, channel, str(named) if known else EVERY_TOPIC)


def stop_told(event: Event, jurisdiction: str) -> Circumstances:
    """How a stop came to be said: what else its event says about consent has rows of its own."""
    row = (event.source, f"{event.message_id}:{STOP_MARK}")
    return Circumstances(event.source, "stop_message", jurisdiction=jurisdiction, event=row)


def stopped(stop: Stop, view: PersonView) -> dict[str, ConsentChange]:
    """What to write: the channel is off for the topic, under every identifier of the person and of the message."""
    change = ConsentChange(preferences={stop.channel: {stop.topic: False}})
    return dict.fromkeys((*view.members, *stop.identities), change)
