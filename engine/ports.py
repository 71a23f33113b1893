"""What the rules need from the world, as protocols. Adapters in `infra` implement them; routes and the serving model
see nothing else."""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from engine.consent import Held, Statement
from engine.errors import EngineError
from engine.events import Event
from engine.identity import Conflict, Edge, Pair
from engine.profile import Contact, Fragment, Profile, merge
from engine.records import DecisionRecord, Position
from engine.reservation import Reserved, Taking
from engine.timeline import OWN_KINDS

_SORTED = msgspec.msgpack.Encoder(order="sorted")


class Unavailable(EngineError):
    """A server behind a port cannot take or answer this now; the same call may succeed later."""


class Stale(EngineError):
    """What was to be changed is not what the caller had read."""


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A fragment as stored: which record of which log made it, when that record was applied (ms), and how often a
    rebuild replaced it: what is derived from it must yield to a rebuilt one of the same count."""

    position: Position
    applied: int
    fragment: Fragment
    rebuilt: int = 0


class PersonView(msgspec.Struct, frozen=True):
    """Everything stored about one person at one moment. `known` is False for an id nothing is stored under: never was,
    or was erased."""

    profile_id: str
    members: tuple[str, ...]
    link_version: int
    stored: tuple[Stored, ...]
    held: dict[str, Held]

    @property
    def known(self) -> bool:
        return any(stored.fragment.state.count for stored in self.stored)

    @property
    def kept(self) -> bool:
        """Whether anything is kept under the reference at all: events, an answer about consent, or a link."""
        return self.known or bool(self.held) or len(self.members) > 1

    @property
    def met(self) -> bool:
        """Whether anything but our own decisions and exposures is stored: that we once looked makes nobody known."""
        states = [stored.fragment.state for stored in self.stored]
        # a fold of before kept decisions alone; whatever else happened has left a signal, if not a line
        return any(s.signals or not all(line.kind in OWN_KINDS for line in s.timeline) for s in states)

    @property
    def generation(self) -> tuple[int, int, int]:
        """A version that grows with whatever a derived value rests on: (link version, consents, events). An erasure
        takes consent and events away and is itself a growth; so is a rebuild, whatever it counted."""
        replaced = sum(stored.fragment.erased + stored.rebuilt for stored in self.stored)
        consents = sum(held.version for held in self.held.values())
        return self.link_version, consents + replaced, sum(stored.fragment.state.count for stored in self.stored)

    def holding(self, states: Mapping[str, Held]) -> "PersonView | None":
        """The person after these identifiers were written to; None where somebody else is among them, so that who the
        person is has to be read again."""
        if not states.keys() <= set(self.members):
            return None
        return msgspec.structs.replace(self, held={**self.held, **states})

    @property
    def profile(self) -> Profile:
        return merge([s.fragment for s in self.stored], self.members, self.link_version)

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Every approach made to the person: the contact log, which contact policy reads whatever the consent."""
        return tuple(sorted({c for stored in self.stored for c in stored.fragment.state.contacts}))

    @property
    def told(self) -> bytes:
        """A digest of what events said of the person: another after any of them, the same after our own decisions."""
        states = [(s.fragment.id, s.fragment.state) for s in self.stored]
        said = [
            (i, s.traits, s.accounts, {n: g.total for n, g in s.signals.items()}, s.issues, s.contacts, s.declines)
            for i, s in states
        ]
        return hashlib.sha256(_SORTED.encode(said)).digest()

    @property
    def applied(self) -> int:
        return max((s.applied for s in self.stored), default=0)


class People(Protocol):
    """Reads persons. An id without an index entry stands alone."""

    async def person(self, identity: str) -> PersonView: ...

    async def people(self, identities: Sequence[str]) -> list[PersonView]: ...

    async def said(self, identities: Sequence[str]) -> dict[str, dict[str, Held]]:
        """For each id what everybody who is one person with it holds of consent, nothing included, without reading
        anything else."""
        ...


class History(Protocol):
    """Profiles of the past. Raises `Unavailable`."""

    async def person_at(self, identity: str, at: int) -> PersonView:
        """The person as it had been applied at `at` (ms): the events and links recorded by then. Consent is today's, of
        everybody who was or is one person with it; `link_version` counts the claims known about it by then."""
        ...


class Identities(Protocol):
    """Reads what persons are derived from. Raises `Unavailable`."""

    async def edges(self, identities: Sequence[str]) -> dict[Pair, Edge]:
        """Every edge of the groups that these ids are in."""
        ...

    async def conflicts(self) -> list[Conflict]:
        """The links that gave way, the latest first."""
        ...


class Log(Protocol):
    """Appends to the events log; returns only after the broker acknowledged. Raises `Unavailable`."""

    @property
    def partitions(self) -> int: ...

    async def append(self, events: Sequence[Event]) -> None: ...

    async def append_now(self, *events: Event) -> None:
        """The same without waiting for company (decisions, outcomes)."""
        ...


class ConsentChange(msgspec.Struct, frozen=True):
    """What to write under one identifier. An empty setting removes it."""

    statements: dict[str, Statement] = {}
    preferences: dict[str, dict[str, bool]] = {}
    settings: dict[str, str] = {}


class Circumstances(msgspec.Struct, frozen=True):
    """How a change of consent came to be, as the ledger keeps it: `who` said so (a key's name, a source), `how`
    (request, event, link ...), under which jurisdiction, with which evidence. `event` is (source, message id) where an
    event said it: the same event again writes nothing. `expected` maps identifiers to the version they must still
    have. `at` (ms) is when it was taken down; 0 means now."""

    who: str = ""
    how: str = "request"
    at: int = 0
    jurisdiction: str = ""
    evidence: dict[str, str] = {}
    event: tuple[str, str] | None = None
    expected: dict[str, int] | None = None


PLAIN = Circumstances()


class Proof(msgspec.Struct, frozen=True):
    """One row of the consent ledger as it may be shown. `change` is None where the payload was erased."""

    seq: int
    row_id: str
    subject: str
    digest: str
    at: int
    who: str
    how: str
    jurisdiction: str
    evidence: dict[str, str]
    change: ConsentChange | None


class Consents(Protocol):
    """Writes consent under identifiers, into the ledger and to where it is served from; visible to every reader when
    it returns."""

    async def held(self, identities: Sequence[str]) -> dict[str, Held]: ...

    async def write(self, changes: Mapping[str, ConsentChange], told: Circumstances = PLAIN) -> dict[str, Held]:
        """What each identifier that was written to holds now: those of `changes`, and whoever became the same person
        meanwhile. Raises `Stale` where a version is not the expected one; then nothing was written."""
        ...

    async def history(self, identities: Sequence[str]) -> list[Proof]:
        """Everything said under these identifiers, oldest first."""
        ...


class Decisions(Protocol):
    """Finds past decisions: recent ones in Redis, older ones in the archive. None where there is none."""

    async def decision(self, decision_id: str) -> DecisionRecord | None: ...


class Reservations(Protocol):
    """Approaches that were decided on and may still be made, per person. Raises `Unavailable`."""

    async def promised(self, views: Sequence[PersonView], at: int) -> list[Reserved]:
        """What is promised to each person and still counts at `at` (ms)."""
        ...

    async def take(self, wanted: Sequence[Taking]) -> list[bool]:
        """Grant or refuse each as if one came after the other: granted whole where every claim keeps within its caps,
        counting what everybody else was granted by then; refused whole otherwise."""
        ...

    async def release(self, promises: Mapping[str, Sequence[str]]) -> None:
        """Take back what nobody will keep: tokens by profile id. What is not there stays so."""
        ...


class CrossFeatures(Protocol):
    """Cross-profile counts as Feast's online store holds them: (action id, segment) -> (impressions, accepted)."""

    async def cross_counts(self) -> dict[tuple[str, str], tuple[float, float]]: ...


class Entry(msgspec.Struct, frozen=True):
    """One line of an outreach queue. Times in ms; `used` are the purposes whose data it was made from."""

    profile_id: str
    queue: str
    priority: float
    channel: str
    action_id: str
    reasons: tuple[dict[str, Any], ...]
    due_at: int
    updated_at: int
    used: tuple[str, ...] = ()


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

    async def warnings(self) -> dict[str, str]:
        """What does not keep us from serving, but somebody should do something about."""
        ...
