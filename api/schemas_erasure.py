"""The bodies about erasure: a job, its certificate. Ids and counts only; knows nothing of routes."""

from typing import Any, Literal

import msgspec

from api.schemas import Instant

Status = Literal["pending", "in_progress", "completed"]


class StoreErased(msgspec.Struct, frozen=True):
    """One store and how many rows, keys or entries went from it."""

    store: str
    rows_removed: int
    note: str


class LogEnds(msgspec.Struct, frozen=True):
    """When a topic of the log holds nothing of the person any more; null where no date can be given."""

    topic: str
    ends_at: Instant | None
    note: str


class ModelTrained(msgspec.Struct, frozen=True):
    """A model version whose training window holds decisions about the person."""

    version: str
    decisions_in_window: int


class Certificate(msgspec.Struct, frozen=True):
    """What was erased where. `identifiers` are ids, which say nothing without the installation's secret."""

    identifiers: list[str]
    stores: list[StoreErased]
    log: list[LogEnds]
    models: list[ModelTrained]


class ErasureAnswer(msgspec.Struct, frozen=True):
    """One erasure. Everything dated before `erased_before` is gone when it is completed."""

    erasure_id: str
    status: Status
    requested_by: str
    reason: str
    requested_at: Instant
    erased_before: Instant
    started_at: Instant | None
    completed_at: Instant | None
    certificate: Certificate


class ExportLine(msgspec.Struct, frozen=True):
    """One line of an export: what kind of thing it is, and the thing."""

    kind: str
    value: dict[str, Any]
