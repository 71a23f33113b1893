"""The bodies about identity: links that gave way and how a person came together, as frozen structs. Knows nothing of
routes or of who may see what."""

import msgspec

from api.schemas import Instant, ProfileId, Reference


class LinkedEnd(msgspec.Struct, frozen=True):
    """One end of a link. `value` is null where the reader may not see it."""

    type: str
    id: ProfileId
    value: str | None = None


class ConflictPair(msgspec.Struct, frozen=True):
    """A body for `POST /v1/profiles/unlink` or `/link`."""

    left: Reference
    right: Reference


class ConflictSeen(msgspec.Struct, frozen=True):
    """A link that gave way: to which rule, why, and what to do. `pair` is the body that says something about it."""

    left: LinkedEnd
    right: LinkedEnd
    rule: str
    why: str
    what_to_do: str
    pair: ConflictPair
    at: Instant
    source: str


class ConflictPage(msgspec.Struct, frozen=True):
    """The latest first; `next` is the offset of the following page."""

    conflicts: list[ConflictSeen]
    total: int
    next: int | None


class EffectSeen(msgspec.Struct, frozen=True):
    """What a verdict did when it came: `code` is joined, parted, kept_apart, gave_way (to `rule`) or nothing."""

    code: str
    text: str
    rule: str | None
    left_profile: ProfileId
    right_profile: ProfileId


class VerdictSeen(msgspec.Struct, frozen=True):
    """One verdict on a pair: positive, negative or unsure. `reason` is `observed` for what events showed, and null
    where the reader's purposes do not reach it."""

    at: Instant
    left: LinkedEnd
    right: LinkedEnd
    verdict: str
    source: str
    reason: str | None
    effect: EffectSeen


class HistoryPage(msgspec.Struct, frozen=True):
    """The verdicts that touch a person, oldest first; `next` is the offset of the following page."""

    profile_id: ProfileId
    verdicts: list[VerdictSeen]
    total: int
    next: int | None
