"""The floor under our HTTP figures: FastAPI on uvicorn as we run it, with nothing of ours around the answer. Only a
bench serves it: `uvicorn --factory api.bare:empty_app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from infra.bench.bare import open_bare
from infra.settings import Settings

JSON = "application/json"


def empty_app() -> FastAPI:
    """Reads a body and answers with an empty object."""
    app = FastAPI()

    @app.post("/empty")
    async def empty(request: Request) -> Response:
        await request.body()
        return Response(b"{}", media_type=JSON)

    return app


def decision_app() -> FastAPI:
    """Answers with a bare decision."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_bare(Settings()) as decide:
            app.state.decide = decide
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/decision")
    async def decision(request: Request) -> Response:
        return Response(await request.app.state.decide(await request.body()), media_type=JSON)

    return app
