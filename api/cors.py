"""What browsers ask before they send events: preflights of the ingest door, CloudEvents' webhook handshake, and the
headers without which a page cannot read the answer. Knows paths and headers; lets everything else through untouched."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALLOWED_HEADERS = "Authorization, Content-Type, AnonymousId, SentAt, X-Retry-Count, X-Strict-Mode, Content-Encoding"
EXPOSED_HEADERS = "Retry-After, RateLimit, RateLimit-Policy"
WEBHOOK = "/v1/cloudevents"


def _preflight(methods: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Max-Age": "7200",
        "Allow": methods,
    }


def _handshake(headers: Headers) -> dict[str, str]:
    """The answer to `WebHook-Request-Origin`: whoever has a key may deliver, as fast as 429 lets them."""
    if "webhook-request-origin" not in headers:
        return {}
    rate = {"WebHook-Allowed-Rate": "*"} if "webhook-request-rate" in headers else {}
    return {"WebHook-Allowed-Origin": "*", **rate}


class BrowserDoor:
    """Answers OPTIONS on the given paths (path -> methods) and marks their answers as readable for pages."""

    def __init__(self, app: ASGIApp, paths: dict[str, str], prefixes: dict[str, str]) -> None:
        self._app = app
        self._paths = paths
        self._prefixes = prefixes

    def _methods(self, path: str) -> str | None:
        if path in self._paths:
            return self._paths[path]
        return next((methods for prefix, methods in self._prefixes.items() if path.startswith(prefix)), None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods = self._methods(scope["path"]) if scope["type"] == "http" else None
        if methods is None:
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            extra = _handshake(Headers(scope=scope)) if scope["path"] == WEBHOOK else {}
            await Response(status_code=200, headers=_preflight(methods) | extra)(scope, receive, send)
            return

        async def readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = "*"
                headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
            await send(message)

        await self._app(scope, receive, readable)
