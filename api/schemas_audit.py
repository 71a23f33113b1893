"""The bodies of the audit of reads. Ids and names of keys; nothing that was read."""

import msgspec

from api.schemas import Instant


class ReadSeen(msgspec.Struct, frozen=True):
    """One read: when, by which key, what, for which purposes, and of whom."""

    at: Instant
    who: str
    role: str
    what: str
    purposes: list[str]
    profile_id: str


class ReadPage(msgspec.Struct, frozen=True):
    """A page of reads, the newest first. `next` is `before` of the next page; null at the end."""

    reads: list[ReadSeen]
    next: int | None
