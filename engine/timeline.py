"""What happened to somebody, as one line each: the newest of it, in order. Knows nothing of who may see a line."""

from bisect import bisect
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.events import Event

TIMELINE_SIZE = 50
OWN_SIZE = 10
# what we log of ourselves: nobody did it and nobody was told of it
OWN_KINDS = ("decision", "exposure")
LONGEST_NAME = 80
_PLAIN = (str, int, float)
_DETAILS = ("channel", "topic", "category", "value", "total", "revenue", "currency", "action_id", "title", "issueId")


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """One line of the timeline."""

    at: int
    message_id: str
    kind: str
    name: str
    detail: dict[str, Any]


def moment_of(event: Event) -> Moment:
    shown = (event.name or event.kind)[:LONGEST_NAME]
    return Moment(event.at, event.message_id, event.kind, shown, _detail(event.properties))


def lengthen(into: tuple[Moment, ...], more: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """The newest 50 of what the customer did or was told and the newest 10 of our own, which push nothing else out, in
    order; nearly always one moment comes to the end of many."""
    if len(more) != 1:
        return lined_up((*into, *more))
    if not into or into[-1].at < more[0].at:
        return _bounded((*into, *more), more[0].kind)
    place = bisect(into, _order(more[0]), key=_order)
    return _bounded((*into[:place], *more, *into[place:]), more[0].kind)


def _bounded(ordered: tuple[Moment, ...], added: str) -> tuple[Moment, ...]:
    """Without the oldest of those that one of kind `added` came to, our own or the others, where they are too many."""
    own = added in OWN_KINDS
    size = OWN_SIZE if own else TIMELINE_SIZE
    if len(ordered) <= size:
        return ordered
    kinds = [moment.kind for moment in ordered]
    ours = sum(map(kinds.count, OWN_KINDS))
    if (ours if own else len(kinds) - ours) <= size:
        return ordered
    oldest = next(place for place, kind in enumerate(kinds) if (kind in OWN_KINDS) is own)
    return ordered[:oldest] + ordered[oldest + 1 :]


def lined_up(moments: Sequence[Moment]) -> tuple[Moment, ...]:
    """The same of many at once."""
    own = _newest([moment for moment in moments if moment.kind in OWN_KINDS], OWN_SIZE)
    others = _newest([moment for moment in moments if moment.kind not in OWN_KINDS], TIMELINE_SIZE)
    return tuple(sorted((*own, *others), key=_order) if own else others)


def _newest(moments: list[Moment], size: int) -> list[Moment]:
    """Found by time alone, then ordered among those that can be."""
    if len(moments) > size:
        oldest = sorted(moment.at for moment in moments)[-size]
        moments = [moment for moment in moments if moment.at >= oldest]
    return sorted(moments, key=_order)[-size:]


def _order(moment: Moment) -> tuple[int, str, str, str, bytes]:
    return moment.at, moment.message_id, moment.kind, moment.name, msgspec.msgpack.encode(moment.detail)


def _detail(properties: Mapping[str, Any]) -> dict[str, Any]:
    kept = [(name, properties[name]) for name in _DETAILS if name in properties]
    return {n: v[:LONGEST_NAME] if isinstance(v, str) else v for n, v in kept if isinstance(v, _PLAIN)}
