"""An erasure as the one who asked for it sees it: what was asked, how far it is, and the certificate. Holds ids and
counts, never a value; knows nothing of how anything is erased."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol, get_args

import msgspec

from engine.ports import PersonView

PENDING, IN_PROGRESS, COMPLETED = "pending", "in_progress", "completed"
Reason = Literal["data_subject_request", "consent_withdrawn", "objection", "no_longer_needed", "test"]
REASONS: tuple[Reason, ...] = get_args(Reason)
# what has been on its way when the wish was made is gone with it: everything dated before wish + so much
MARGIN_MS = 2_000


class Removed(msgspec.Struct, frozen=True):
    """One store and how many rows, keys or documents went from it; `note` says what cannot go by itself."""

    store: str
    rows: int
    note: str = ""


class LogEnd(msgspec.Struct, frozen=True):
    """When the last event about the person leaves a topic of the log: a time (ms), or what has to happen."""

    topic: str
    at: int | None
    note: str


class TrainedOn(msgspec.Struct, frozen=True):
    """A model version whose training window holds decisions about the person; `decisions` says how many."""

    version: str
    decisions: int


class Job(msgspec.Struct, frozen=True):
    """One erasure. `before` (ms): what is dated before it goes. Times in ms; `identifiers` are ids, never values."""

    id: str
    subject: str
    subject_type: str
    requested_by: str
    reason: str
    requested_at: int
    before: int
    status: str = PENDING
    identifiers: tuple[str, ...] = ()
    started_at: int | None = None
    completed_at: int | None = None
    stores: tuple[Removed, ...] = ()
    log: tuple[LogEnd, ...] = ()
    models: tuple[TrainedOn, ...] = ()

    def with_removed(self, store: str, rows: int, note: str = "") -> "Job":
        """The job with so many more rows gone from a store."""
        before = next((one.rows for one in self.stores if one.store == store), 0)
        others = tuple(one for one in self.stores if one.store != store)
        return msgspec.structs.replace(self, stores=(*others, Removed(store, before + rows, note)))


class Erasures(Protocol):
    """Keeps erasure jobs, over restarts. Raises `Unavailable`."""

    async def save(self, job: Job) -> None: ...

    async def find(self, job_id: str) -> Job | None: ...

    async def drop(self, job_id: str) -> None:
        """Forget a job whose wish was not taken."""
        ...


class Eraser(Protocol):
    """Takes everything of these ids, dated before `before` (ms), out of one store."""

    @property
    def name(self) -> str: ...

    async def erase(self, ids: Sequence[str], before: int) -> int:
        """Returns how many rows went."""
        ...


class Exports(Protocol):
    """Everything kept of a person's past, little in memory at a time. Raises `Unavailable`."""

    def everything(self, view: PersonView) -> AsyncIterator[tuple[str, Any]]:
        """(kind, plain value): each event, decision and outcome once, and each link."""
        ...
