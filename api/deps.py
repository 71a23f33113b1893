"""What a request may know of the world, and who is asking. Knows ports, roles and credentials; no adapter and no
route."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from api.errors import Problem
from api.session import COOKIE, CSRF_HEADER, SAFE_METHODS, Session, is_csrf_token, unseal
from api.way import Way
from engine.allocation import Allocation
from engine.audit import Reads
from engine.catalog import Catalogue
from engine.collection import Source
from engine.consent import Purposes
from engine.consent_signals import SignalRules
from engine.data_request import DataRequests
from engine.erasure_job import Erasures, Exports
from engine.identifiers import IdentityRules
from engine.opt_in import OptIns
from engine.ports import (
    ApiKey,
    Consents,
    CrossFeatures,
    Decisions,
    Health,
    History,
    Identities,
    Keys,
    Log,
    Notices,
    People,
    Queues,
    Rejects,
    Reservations,
)
from engine.status_callback import Callbacks, Caller
from features.protection import Protection
from models.replay import Past
from models.scorer import Scorer
from models.trial import KeptFindings

ROLES = frozenset({"agent", "marketer", "preference_center", "engineer", "admin", "auditor", "write"})


class Configured(Protocol):
    """The configuration as it stands now; its parts agree with each other."""

    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def purposes(self) -> Purposes: ...
    @property
    def identity(self) -> IdentityRules: ...
    @property
    def sources(self) -> Mapping[str, Source]: ...
    @property
    def signals(self) -> SignalRules: ...
    @property
    def allocation(self) -> Allocation: ...
    @property
    def protection(self) -> Protection: ...
    def source(self, name: str) -> Source: ...


class LiveConfigured(Protocol):
    """The running configuration; `problem` says why the newest edit was not taken."""

    @property
    def current(self) -> Configured: ...
    @property
    def problem(self) -> str: ...
    def maybe_reload(self) -> bool: ...


class LiveScorer(Protocol):
    """The model that serves now; `refresh` follows the champion alias."""

    def current(self) -> Scorer: ...
    def refresh(self) -> bool: ...


class Limits(msgspec.Struct, frozen=True):
    """How much one request may bring: bytes as sent after inflating, and requests a second per key (0: no limit)."""

    event_bytes: int = 32 * 1024
    batch_bytes: int = 500 * 1024
    requests_per_second: int = 0


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything behind the routes, chosen by a composition root. `clock` gives epoch milliseconds; `promote` runs the
    gate for a version (and, when told so, overrules it) and says what it found; `models` is the model store."""

    people: People
    identities: Identities
    history: History
    log: Log
    consents: Consents
    opt_ins: OptIns
    decisions: Decisions
    cross: CrossFeatures
    queues: Queues
    erasures: Erasures
    exports: Exports
    requests: DataRequests
    callbacks: Callbacks
    caller: Caller
    reads: Reads
    notices: Notices
    rejects: Rejects
    reservations: Reservations
    keys: Keys
    health: Health
    configuration: LiveConfigured
    live_model: LiveScorer
    models: Any
    past: Past
    findings: KeptFindings
    secret: bytes
    clock: Callable[[], int]
    promote: Callable[[str, bool], Awaitable[Mapping[str, Any]]]
    limits: Limits = field(default_factory=Limits)
    way: Way = field(default_factory=Way)

    @property
    def now(self) -> Configured:
        return self.configuration.current


async def world_of(request: Request) -> World:
    world: World = request.app.state.world
    return world


WorldNow = Annotated[World, Depends(world_of)]
# declared for the OpenAPI document; who is asking is read from the request itself, below
_DECLARED = (
    Security(APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False)),
    Security(HTTPBearer(scheme_name="Bearer", auto_error=False)),
)


def credential(request: Request) -> str:
    """The secret text in `X-API-Key` or `Authorization: Bearer`; empty where there is none."""
    named = request.headers.get("x-api-key")
    if named:
        return named
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


async def session_key(request: Request, world: World) -> ApiKey | None:
    """The key a page signed in with, if it is still valid. A change needs the session's CSRF token in a header."""
    cookie = request.cookies.get(COOKIE)
    session: Session | None = unseal(world.secret, cookie, world.clock()) if cookie else None
    if session is None or cookie is None:
        return None
    token = request.headers.get(CSRF_HEADER, "")
    if request.method not in SAFE_METHODS and not is_csrf_token(world.secret, cookie, token):
        raise Problem(403, "csrf", "the page's token is missing or old; reload the page and try again")
    return await world.keys.named(session.key)


async def identified(request: Request, world: World) -> ApiKey:
    """Who is asking. Raises a 401 problem."""
    given = credential(request)
    found = await world.keys.find(given) if given else await session_key(request, world)
    if found is None:
        error = ' error="invalid_token"' if given else ""
        message = "this needs a valid API key; send it as X-API-Key or Authorization: Bearer"
        raise Problem(401, "invalid_key", message, headers={"WWW-Authenticate": f"Bearer{error}"})
    return found


def require(*roles: str) -> Callable[..., Coroutine[Any, Any, ApiKey]]:
    """A dependency giving the caller's key if its role is one of `roles`. An admin may do everything except what only
    an auditor may read; a write key may only ingest."""
    allowed = frozenset(roles) if set(roles) == {"auditor"} else frozenset(roles) | {"admin"}

    async def caller(
        request: Request, world: WorldNow, _key: str | None = _DECLARED[0], _bearer: object = _DECLARED[1]
    ) -> ApiKey:
        key = await identified(request, world)
        if key.role not in allowed:
            message = f"a key with the role {key.role} may not do this; it takes {' or '.join(sorted(allowed))}"
            raise Problem(403, "insufficient_role", message)
        return key

    return caller
