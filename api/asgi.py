"""Composition root of the HTTP side: settings, adapters, application, server. `python -m api.asgi` serves it."""

import dataclasses
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from api.app import serve_app
from api.deps import Limits, World
from infra.collector import look_seldom
from infra.settings import Settings
from infra.wiring import open_world

# Longer than clients and proxies usually keep an idle connection (httpx 5 s, which is uvicorn's own default too; nginx
# and most balancers 60 s): only who would send next may close, or requests meet connections that were just closed.
KEEP_ALIVE_S = 75

settings = Settings()


@asynccontextmanager
async def opening() -> AsyncIterator[World]:
    async with open_world(settings) as opened:
        adapters = {field.name: getattr(opened, field.name) for field in dataclasses.fields(opened)}
        limits = Limits(batch_bytes=settings.batch_bytes, requests_per_second=settings.ingest_rate)
        look_seldom()
        yield World(**adapters, limits=limits)


app = serve_app(opening)


def serve() -> None:
    """One process on the settings' port; the access log stays off, because paths hold identifiers."""
    logging.basicConfig(level=settings.log_level.upper())
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=False,
        loop="uvloop",
        http="httptools",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=10,
        server_header=False,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    serve()
