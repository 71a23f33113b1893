"""The HTTP application: routes, failures and measurements put together over a world that somebody else opened."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api import errors, metrics
from api.cors import BrowserDoor
from api.data_requests import carry_on
from api.deps import World
from api.ingest_documents import SCHEMES
from api.routes import (
    audit,
    consent,
    consent_signals,
    decisions,
    desk,
    erasure,
    experiments,
    identity,
    ingest,
    keys,
    links,
    models,
    ofrep,
    opendsr,
    ops,
    opt_in,
    outcomes,
    outreach,
    pages,
    preferences,
    profiles,
    receipts,
    reference,
    replay,
    unsubscribe,
)
from api.status_calls import keep_telling
from api.throttle import Throttle

# asked for in this order at every request, so what is asked most comes first
ROUTERS = (
    decisions.direct,
    decisions.router,
    replay.router,
    ingest.router,
    # before every route that ends in /history too
    receipts.router,
    links.router,
    identity.router,
    consent.router,
    consent_signals.router,
    opt_in.router,
    unsubscribe.router,
    preferences.router,
    erasure.router,
    profiles.router,
    outcomes.router,
    outreach.router,
    ofrep.router,
    models.router,
    experiments.router,
    keys.router,
    audit.router,
    opendsr.router,
    desk.router,
    pages.router,
    reference.router,
    ops.router,
)
Opening = Callable[[], AbstractAsyncContextManager[World]]
DESCRIPTION = """Real-time customer profiles, next-best actions and outreach queues, consent first.

Events come in with a write key, everything else is asked with an API key. Failures are RFC 9457 problem documents whose
`code` is stable."""


class Application(FastAPI):
    """The application; its OpenAPI document also names the ways a sender of events may sign in."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document.setdefault("components", {}).setdefault("securitySchemes", {}).update(SCHEMES)
        return document


def _application() -> Application:
    app = Application(
        title="Rapport",
        version="0.1.0",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    # the last one added is the first a request meets
    errors.install(app)
    app.add_middleware(BrowserDoor, paths=ingest.PATHS, prefixes=ingest.PREFIXES)
    app.add_middleware(metrics.Measured)
    for router in ROUTERS:
        app.include_router(router)
    return app


def _furnish(app: Application, world: World) -> None:
    app.state.world = world
    app.state.throttle = Throttle(world.limits.requests_per_second)


def create_app(world: World) -> Application:
    """The application over an open world; its owner closes it."""
    app = _application()
    _furnish(app, world)
    return app


def serve_app(opening: Opening) -> Application:
    """The application that opens its world when the server starts and closes it when the server stops."""
    app = _application()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with opening() as world:
            _furnish(app, world)
            beside = [asyncio.create_task(carry_on(world)), asyncio.create_task(keep_telling(world))]
            try:
                yield
            finally:
                for task in beside:
                    task.cancel()

    app.router.lifespan_context = lifespan
    return app
