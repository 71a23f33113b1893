"""Folding what the archive holds, home by home, into exactly what a worker would have stored. Knows the order of homes
and how much is read at once; nothing of what it is compared with."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from engine.ports import Stored
from engine.profile import Fragment
from engine.replay import Applied
from engine.step import Rules, advance
from infra.archive_homes import Where, by_home
from infra.redis_store_stream import TailEntry

log = logging.getLogger("rapport.replay")
# the memory of a replay: so many rows as the archive holds them, a few hundred bytes each
ROWS_PER_SLICE = 200_000
HOMES_TOGETHER = 500
_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
Refolded = tuple[str, Stored | None, int]


def refold(home: str, history: Iterable[Applied], rules: Rules) -> Stored | None:
    """What a worker has stored after these events, in the order given; None if none of them could be folded."""
    stored: Stored | None = None
    for one in history:
        before = stored.fragment if stored is not None else Fragment(home)
        try:
            step = advance(before, one.event, rules)
        # as in the stream: whatever a pure function raises, this one event was rejected and the rest went on
        except Exception as error:  # noqa: BLE001
            log.debug("an event is passed over, as the stream did: %s", type(error).__name__)
            continue
        if step.changed:
            stored = Stored(one.position, one.applied, step.fragment)
    return stored


def slices(rows: int, most: int) -> list[tuple[str, str]]:
    """Ranges [low, high) of homes that hold about `most` rows each. Ids are digests, so equal ranges hold equally much;
    the ends are open."""
    count = min(max(-(-rows // most), 1), len(_DIGITS) ** 2)
    bounds = [_prefix(n * len(_DIGITS) ** 2 // count) for n in range(1, count)]
    return list(zip(["", *bounds], [*bounds, ""], strict=True))


def _prefix(number: int) -> str:
    high, low = divmod(number, len(_DIGITS))
    return _DIGITS[high] + _DIGITS[low]


def refolded(archive: str, where: Where, waiting: Sequence[TailEntry], rules: Rules) -> Iterator[Refolded]:
    """Homes in order, each with what it folds to and of how many events."""
    for home, history in by_home(archive, where, waiting):
        yield home, refold(home, history, rules), len(history)


def blocks(rows: Iterable[Refolded], most: int = HOMES_TOGETHER) -> Iterator[list[Refolded]]:
    """A few hundred homes at a time: what one round trip asks for."""
    source = iter(rows)
    while block := list(islice(source, most)):
        yield block


def alongside(rows: Iterable[Refolded], homes: Iterable[str]) -> Iterator[Refolded]:
    """The same in order with the homes that only somebody else knows, which fold to nothing."""
    others = iter(homes)
    other = next(others, None)
    for row in rows:
        while other is not None and other <= row[0]:
            if other != row[0]:
                yield other, None, 0
            other = next(others, None)
        yield row
    while other is not None:
        yield other, None, 0
        other = next(others, None)
