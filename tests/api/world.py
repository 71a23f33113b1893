"""The application over a world in memory, with the demo configuration and one key per role."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI

from api.app import create_app
from api.deps import Limits, World
from engine.collection import Source
from engine.identifiers import identify
from engine.ports import ApiKey
from engine.step import Rules
from infra.config import Configuration, load
from infra.memory import MemoryState
from infra.memory_callbacks import MemoryCallbacks, MemoryCaller
from infra.memory_erasure import MemoryErasures, MemoryExports
from infra.memory_findings import MemoryFindings
from infra.memory_opt_ins import MemoryOptIns
from infra.memory_past import MemoryPast
from infra.memory_ports import (
    MemoryConsents,
    MemoryCross,
    MemoryDecisions,
    MemoryHealth,
    MemoryHistory,
    MemoryIdentities,
    MemoryKeys,
    MemoryLog,
    MemoryNotices,
    MemoryPeople,
    MemoryQueues,
    MemoryRejects,
)
from infra.memory_reads import MemoryReads
from infra.memory_requests import MemoryRequests
from infra.memory_reservations import MemoryReservations
from infra.settings import DEMO_CONFIG
from models.scorer import PriorModel, Scorer

SECRET = b"a secret of the tests"
NOW = 1_790_000_000_000
WRITE, ADMIN, AGENT = "write-key", "admin-key", "agent-key"
KEYS: dict[str, ApiKey] = {
    WRITE: ApiKey("shop", "write", source="shop"),
    ADMIN: ApiKey("first-admin", "admin", ("service", "analytics", "personalization", "marketing")),
    AGENT: ApiKey("desk", "agent", ("service", "personalization")),
    "marketer-key": ApiKey("campaigns", "marketer", ("service", "personalization", "marketing")),
    "preference-key": ApiKey("preferences", "preference_center", ("service",)),
    "engineer-key": ApiKey("engineer", "engineer", ("service", "analytics", "personalization", "model_training")),
    "auditor-key": ApiKey("auditor", "auditor"),
}


@cache
def demo_configuration() -> Configuration:
    """The demo configuration, read once."""
    return load(DEMO_CONFIG)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, at: int = NOW) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


class FixedConfiguration:
    """A configuration that no file changes."""

    def __init__(self, current: Configuration) -> None:
        self.current = current
        self.problem = ""

    def maybe_reload(self) -> bool:
        return False


class ColdStart:
    """No model yet: the assumed rates serve."""

    def current(self) -> Scorer:
        return PriorModel()

    def refresh(self) -> bool:
        return False


async def _no_gate(_version: str, _force: bool) -> Mapping[str, Any]:
    raise LookupError("this world has no models to promote")


@dataclass
class Rig:
    """A world in memory and what a test may reach into."""

    clock: Clock = field(default_factory=Clock)
    sources: Mapping[str, Source] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    models: Any = None
    promote: Any = _no_gate

    def __post_init__(self) -> None:
        configuration = demo_configuration()
        merged = msgspec.structs.replace(configuration, sources={**configuration.sources, **self.sources})
        self.configuration = FixedConfiguration(merged)
        self.state = MemoryState(self.clock, Rules(identity=merged.identity))
        self.notices = MemoryNotices()
        self.log = MemoryLog(self.state, self.notices)
        self.queues = MemoryQueues()
        self.rejects = MemoryRejects()
        self.keys = MemoryKeys(KEYS)
        self.opt_ins = MemoryOptIns()
        self.requests = MemoryRequests()
        self.callbacks = MemoryCallbacks()
        self.caller = MemoryCaller()
        self.reads = MemoryReads()
        self.health = MemoryHealth()
        self.findings = MemoryFindings()
        self.past = MemoryPast(merged.catalogue, merged.purposes)
        self.world = World(
            people=MemoryPeople(self.state),
            identities=MemoryIdentities(self.state),
            history=MemoryHistory(self.state),
            log=self.log,
            consents=MemoryConsents(self.state, self.notices),
            opt_ins=self.opt_ins,
            decisions=MemoryDecisions(self.state),
            cross=MemoryCross(self.state),
            queues=self.queues,
            erasures=MemoryErasures(self.state),
            exports=MemoryExports(self.state),
            requests=self.requests,
            callbacks=self.callbacks,
            caller=self.caller,
            reads=self.reads,
            notices=self.notices,
            rejects=self.rejects,
            reservations=MemoryReservations(),
            keys=self.keys,
            health=self.health,
            configuration=self.configuration,
            live_model=ColdStart(),
            models=self.models,
            past=self.past,
            findings=self.findings,
            secret=SECRET,
            clock=self.clock,
            promote=self.promote,
            limits=self.limits,
        )

    @property
    def app(self) -> FastAPI:
        return create_app(self.world)

    def id_of(self, reference: str) -> str:
        """The id of `type:value`, normalised as events are."""
        kind, _, value = reference.partition(":")
        found = identify(SECRET, self.configuration.current.identity, kind, value)
        assert found is not None
        return found.id

    def events(self) -> Iterator[Any]:
        """Every event the log took, in order."""
        return (applied.event for applied in self.state.history)

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the application; `key` is sent as an API key."""
        transport = httpx.ASGITransport(self.app)
        headers = {"X-API-Key": key} if key else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://rapport", headers=headers) as client:
            yield client
