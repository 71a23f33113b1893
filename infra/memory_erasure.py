"""Erasure and export in the world in memory: an erase claim takes effect when it is applied. Follows the same rules as
the stations; keeps nothing when the process ends."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from engine.erasure import ERASED, KEPT_KINDS
from engine.erasure_job import COMPLETED, Job, LogEnd
from engine.export import claim_line, event_line
from engine.ports import PersonView
from infra.memory import MemoryState

NO_LOG = "nothing is kept when the process ends"


class MemoryErasures:
    """`engine.erasure_job.Erasures`; a job is done as soon as its wish is in the log."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._jobs: dict[str, Job] = {}

    async def save(self, job: Job) -> None:
        self._jobs[job.id] = job

    async def drop(self, job_id: str) -> None:
        self._jobs.pop(job_id, None)

    async def find(self, job_id: str) -> Job | None:
        job, one = self._jobs.get(job_id), self._state.forgotten.get(job_id)
        if job is None or one is None:
            return job
        for store, rows in self._state.removed.get(job_id, {}).items():
            job = job.with_removed(store, rows)
        ids, now = tuple(sorted(one.members)), self._state.clock()
        ends = (LogEnd("events", None, NO_LOG),)
        return msgspec.structs.replace(
            job, status=COMPLETED, identifiers=ids, started_at=now, completed_at=now, log=ends
        )


class MemoryExports:
    """`engine.erasure_job.Exports`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def everything(self, view: PersonView) -> AsyncIterator[tuple[str, Any]]:
        for applied in list(self._state.history):
            if applied.event.home in view.members and applied.event.kind not in KEPT_KINDS:
                yield event_line(applied.event)
        for claim in self._state.claims:
            if claim.verdict != ERASED and {claim.left, claim.right} & set(view.members):
                yield claim_line(claim)
