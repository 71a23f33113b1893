"""The window that makes once enough (law 1): the newest 1,000 event keys of the last 24 hours by receipt, as bytes of 4
(receipt in seconds) + 8 (the key) each, in that order. Knows nothing of events."""

from bisect import bisect

SEEN_SIZE = 1000
SEEN_AGE_S = 86_400
_SEEN_ENTRY = 12


def is_duplicate(seen: bytes, key: bytes) -> bool:
    start = seen.find(key)
    while start >= 0 and start % _SEEN_ENTRY != 4:
        start = seen.find(key, start + 1)
    return start >= 0


def remember(seen: bytes, key: bytes, received: int) -> bytes:
    """Add a key in receipt order and keep the newest 1,000 of the last 24 h by receipt."""
    entry = (received // 1000).to_bytes(4, "big") + key
    grown = seen + entry if seen[-_SEEN_ENTRY:] <= entry else _inserted(seen, entry)
    oldest = (int.from_bytes(grown[-_SEEN_ENTRY:][:4], "big") - SEEN_AGE_S) if len(grown) > _SEEN_ENTRY else 0
    start = max(len(grown) - SEEN_SIZE * _SEEN_ENTRY, 0)
    while int.from_bytes(grown[start : start + 4], "big") < oldest:
        start += _SEEN_ENTRY
    return grown[start:]


def _inserted(seen: bytes, entry: bytes) -> bytes:
    starts = range(0, len(seen), _SEEN_ENTRY)
    place = bisect(starts, entry, key=lambda i: seen[i : i + _SEEN_ENTRY]) * _SEEN_ENTRY
    return seen[:place] + entry + seen[place:]
