"""The HTTP application: routes, failures and measurements put together over a world that somebody else opened."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from api import errors, metrics
from api.deps import World
from api.routes import ingest, ops

ROUTERS = (ingest.router, ops.router)
Opening = Callable[[], AbstractAsyncContextManager[World]]
DESCRIPTION = """Real-time customer profiles, next-best actions and outreach queues, consent first.

Events come in with a write key, everything else is asked with an API key. Failures are RFC 9457 problem documents whose
`code` is stable."""


def _application() -> FastAPI:
    app = FastAPI(
        title="Rapport",
        version="0.1.0",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        redirect_slashes=False,
    )
    errors.install(app)
    app.add_middleware(metrics.Measured)
    for router in ROUTERS:
        app.include_router(router)
    return app


def create_app(world: World) -> FastAPI:
    """The application over an open world; its owner closes it."""
    app = _application()
    app.state.world = world
    return app


def serve_app(opening: Opening) -> FastAPI:
    """The application that opens its world when the server starts and closes it when the server stops."""
    app = _application()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with opening() as world:
            app.state.world = world
            yield

    app.router.lifespan_context = lifespan
    return app
