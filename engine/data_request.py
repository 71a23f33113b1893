"""A data subject's request as a controller sends it: whose data, what for, and how far it is. Holds ids, never a value;
knows nothing of protocols, of erasing or of exporting."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import msgspec

from engine import erasure_job
from engine.erasure_job import Job

ACCESS, PORTABILITY, ERASURE = "access", "portability", "erasure"
KINDS = (ACCESS, PORTABILITY, ERASURE)
PENDING, IN_PROGRESS, COMPLETED, CANCELLED = "pending", "in_progress", "completed", "cancelled"
# a request waits so long before anything is done, so that it can be called back
WAIT_MS = 10_000
# what somebody began to carry out and left is taken up by another after so long
PATIENCE_MS = 60_000
# ids of persons are kept with a request for so long; until then the result of an access request can be fetched
KEPT_MS = 30 * 86_400_000


class DataRequest(msgspec.Struct, frozen=True):
    """One request. `subjects` are (identifier id, type); `jobs` the erasures it became. Times in ms."""

    id: str
    controller: str
    kind: str
    regulation: str
    digest: str
    subjects: tuple[tuple[str, str], ...]
    received_at: int
    due_at: int
    state: str = PENDING
    started_at: int | None = None
    jobs: tuple[str, ...] = ()


class DataRequests(Protocol):
    """Keeps requests, over restarts. Raises `Unavailable`."""

    async def add(self, request: DataRequest) -> DataRequest:
        """Keep it; the one that is kept, where its id is taken."""
        ...

    async def find(self, request_id: str) -> DataRequest | None: ...

    async def cancel(self, request_id: str) -> bool:
        """Whether it was pending until now."""
        ...

    async def claim(self, at: int) -> list[DataRequest]:
        """What is to be carried out at `at` (ms), each for one claimant: due, or begun and left."""
        ...

    async def settle(self, request_id: str, state: str, jobs: Sequence[str]) -> None:
        """It was carried out, by these erasures."""
        ...

    async def forget(self, until: int) -> int:
        """Take the ids out of requests received before `until` (ms) and settled; returns of how many."""
        ...


def digest_of(kind: str, regulation: str, subjects: Sequence[tuple[str, str]]) -> str:
    """What makes a repeated request the same: the same thing asked for the same identifiers."""
    return hashlib.sha256(repr((kind, regulation, sorted(subjects))).encode()).hexdigest()


def is_due(request: DataRequest, at: int) -> bool:
    """Whether somebody should carry it out now."""
    if request.state == PENDING:
        return request.due_at <= at
    left = request.started_at is not None and request.started_at <= at - PATIENCE_MS
    return request.state == IN_PROGRESS and not request.jobs and left


def status_of(request: DataRequest, jobs: Sequence[Job | None]) -> str:
    """How far it is; an erasure is completed when every store is empty."""
    carried_out = request.state == IN_PROGRESS and bool(jobs)
    if carried_out and all(job is not None and job.status == erasure_job.COMPLETED for job in jobs):
        return COMPLETED
    return request.state
