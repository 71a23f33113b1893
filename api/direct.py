"""Routes that FastAPI describes and then stays out of: solving dependencies costs a twentieth of a decision.
Knows how a guard is asked; nothing of who may pass or of what is answered."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class Direct(APIRoute):
    """A route whose endpoint takes the request alone and reads it itself. Each of its `dependencies` is a guard as
    `api.deps.require` makes them: called with the request and the world, and raising who may not pass."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Callable[[Request], Awaitable[Response]] = self.endpoint
        guards: list[Any] = [guard.dependency for guard in self.dependencies]

        async def handle(request: Request) -> Response:
            for guard in guards:
                await guard(request, request.app.state.world)
            return await endpoint(request)

        return handle
