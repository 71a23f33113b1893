"""A record of the links topic. Knows its shape; neither who sends it nor who records it."""

import msgspec

from engine.identity import Claim
from engine.records import Position


class LinkRecord(msgspec.Struct, frozen=True, array_like=True):
    """Claims by the position of the events record they come from. `again` are claims that were recorded before, from a
    rebuild: recording them changes nothing, and whoever they are about is derived anew by the rules of today."""

    entries: tuple[tuple[Position, tuple[Claim, ...]], ...]
    again: tuple[Claim, ...] = ()
