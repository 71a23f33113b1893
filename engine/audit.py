"""The audit of reads: who read what about whom, when, and for which purposes. Holds ids and names of keys; never a
value that was read."""

from typing import Protocol

import msgspec

PROFILE, EVENTS, HISTORY, EXPORT = "profile", "events", "history", "export"
DECISION, REPLAY, DESK, LINK = "decision", "replay", "desk", "preference_link"
CONSENT, CHOICES, RECEIPT = "consent", "consent_history", "consent_receipt"
OUTREACH = "outreach"
KINDS = (PROFILE, EVENTS, HISTORY, EXPORT, DECISION, REPLAY, DESK, LINK, CONSENT, CHOICES, RECEIPT, OUTREACH)


class Read(msgspec.Struct, frozen=True):
    """One read at `at` (ms): the key's name and role, what was read, the purposes it was read for, and of whom."""

    at: int
    who: str
    role: str
    what: str
    purposes: tuple[str, ...]
    profile_id: str


class Sought(msgspec.Struct, frozen=True):
    """Which reads to list, newest first: of a person under any of these ids, by whom, `before` a number; empty means
    any."""

    profile_ids: tuple[str, ...] = ()
    who: str = ""
    before: int = 0
    limit: int = 100


class Reads(Protocol):
    """Keeps the trail. A line is on its way when `note` returns and is kept before the process ends in good order."""

    def ready(self) -> None:
        """Raises `Unavailable` while too many lines wait to be kept: what cannot be read unseen is not even made."""
        ...

    def note(self, read: Read) -> None:
        """Raises `Unavailable` like `ready`: nobody reads unseen."""
        ...

    async def sought(self, sought: Sought) -> list[tuple[int, Read]]:
        """Lines with their numbers. Raises `Unavailable`."""
        ...
