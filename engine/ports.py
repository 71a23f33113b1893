"""What the rules need from the world, as protocols. Adapters in `infra` implement them; routes and the serving model
see nothing else."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from engine.consent import Held, Statement
from engine.errors import EngineError
from engine.events import Event
from engine.profile import Fragment, Profile, merge
from engine.records import DecisionRecord, Position


class Unavailable(EngineError):
    """A server behind a port cannot take or answer this now; the same call may succeed later."""


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A fragment as stored: which record of which log made it, and when that record was applied (ms)."""

    position: Position
    applied: int
    fragment: Fragment


class PersonView(msgspec.Struct, frozen=True):
    """Everything stored about one person at one moment. `known` is False for an id nothing was ever stored under."""

    profile_id: str
    members: tuple[str, ...]
    link_version: int
    stored: tuple[Stored, ...]
    held: dict[str, Held]

    @property
    def known(self) -> bool:
        return bool(self.stored)

    @property
    def profile(self) -> Profile:
        return merge([s.fragment for s in self.stored], self.members, self.link_version)

    @property
    def applied(self) -> int:
        return max((s.applied for s in self.stored), default=0)


class People(Protocol):
    """Reads persons. An id without an index entry stands alone."""

    async def person(self, identity: str) -> PersonView: ...

    async def people(self, identities: Sequence[str]) -> list[PersonView]: ...


class Log(Protocol):
    """Appends to the events log; returns only after the broker acknowledged. Raises `Unavailable`."""

    @property
    def partitions(self) -> int: ...

    async def append(self, events: Sequence[Event]) -> None: ...

    async def append_now(self, event: Event) -> None:
        """One event, without waiting for company (decisions, outcomes)."""
        ...


class ConsentChange(msgspec.Struct, frozen=True):
    """What to write under one identifier. An empty setting removes it."""

    statements: dict[str, Statement] = {}
    preferences: dict[str, dict[str, bool]] = {}
    settings: dict[str, str] = {}


class Consents(Protocol):
    """Writes consent under identifiers; visible to every reader when it returns."""

    async def held(self, identities: Sequence[str]) -> dict[str, Held]: ...

    async def write(self, changes: Mapping[str, ConsentChange]) -> None: ...


class Decisions(Protocol):
    """Finds past decisions: recent ones in Redis, older ones in the archive. None where there is none."""

    async def decision(self, decision_id: str) -> DecisionRecord | None: ...


class CrossFeatures(Protocol):
    """Cross-profile counts as Feast's online store holds them: (action id, segment) -> (impressions, accepted)."""

    async def cross_counts(self) -> dict[tuple[str, str], tuple[float, float]]: ...


class Entry(msgspec.Struct, frozen=True):
    """One line of an outreach queue. Times in ms."""

    profile_id: str
    queue: str
    priority: float
    channel: str
    action_id: str
    reasons: tuple[dict[str, Any], ...]
    due_at: int
    updated_at: int


class Queues(Protocol):
    """Reads outreach queues, highest priority first."""

    async def entries(self, queue: str, limit: int, offset: int = 0) -> tuple[list[Entry], int]:
        """A page of entries and the total."""
        ...


class Notices(Protocol):
    """Live changes: yields each profile id that changed, as it changes."""

    def changes(self) -> AsyncIterator[str]: ...


class ApiKey(msgspec.Struct, frozen=True):
    """A named credential. `role` is agent, marketer, preference_center, engineer, admin, auditor or write."""

    name: str
    role: str
    purposes: tuple[str, ...] = ()
    source: str = ""
    allow_origins: tuple[str, ...] = ()


class Keys(Protocol):
    """Looks a credential up by its secret text; None for an unknown or revoked one."""

    async def find(self, secret: str) -> ApiKey | None: ...

    async def named(self, name: str) -> ApiKey | None:
        """The valid key of this name: what a page's session stands on, so that revoking the key ends it."""
        ...


class Refused(msgspec.Struct, frozen=True):
    """An event the gateway did not accept, as bytes of JSON, with the source it came from and why."""

    source: str
    code: str
    message: str
    event: bytes


class Rejects(Protocol):
    """Keeps what was not accepted, so that an operator can mend the cause and send it again. Raises `Unavailable`."""

    async def keep(self, refused: Sequence[Refused]) -> None: ...


class Health(Protocol):
    """Whether a part of the world answers: name -> problem ('' when well)."""

    async def problems(self) -> dict[str, str]: ...
