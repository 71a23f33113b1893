"""Every failure as an RFC 9457 problem document. Knows statuses, codes and sentences; never repeats a byte of the
request, never names a person, and logs a failure by its route template only."""

import logging
import re
import secrets
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import InvalidReference, InvalidRequest, Rejected
from engine.ports import Unavailable

log = logging.getLogger("rapport.api")
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_BOUNDS = {"expected", "ge", "le", "max_length", "min_length"}
_TITLES = {
    400: "Bad request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    412: "Precondition failed",
    415: "Unsupported media type",
    422: "Unusable value",
    428: "Precondition required",
    429: "Too many requests",
    500: "Internal error",
    503: "Temporarily unavailable",
}
_HTTP_CODES = {
    400: ("invalid_request", "the request cannot be read; see /docs for its form"),
    404: ("not_found", "there is nothing at this path; see /docs for what there is"),
    405: ("method_not_allowed", "this path does not take this method; see the Allow header"),
    413: ("too_large", "the request is too large; send it in parts"),
}


class Problem(Exception):
    """A failure with its answer. `message` says what is wrong and what to try, without anything from the request;
    `errors` lists what is wrong part by part; `headers` go along."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.headers = headers or {}


def unavailable(message: str) -> Problem:
    return Problem(503, "unavailable", message, headers={"Retry-After": str(RETRY_SECONDS)})


def trace_id(request: Request) -> str:
    """The trace the caller named in `traceparent`, else one of our own; the same for the whole request."""
    state = request.scope.setdefault("state", {})
    if "trace_id" not in state:
        named = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
        state["trace_id"] = named.group(1) if named else secrets.token_hex(16)
    return str(state["trace_id"])


def document(problem: Problem, trace: str) -> dict[str, Any]:
    """The members of the answer; `errors` only where there are some."""
    members: dict[str, Any] = {
        "type": f"urn:rapport:problem:{problem.code}",
        "title": _TITLES.get(problem.status, "Request failed"),
        "status": problem.status,
        "detail": problem.message,
        "instance": f"urn:trace:{trace}",
        "code": problem.code,
        "message": problem.message,
        "trace_id": trace,
    }
    return {**members, "errors": list(problem.errors)} if problem.errors else members


def answer(request: Request, problem: Problem) -> Response:
    body = orjson.dumps(document(problem, trace_id(request)))
    return Response(body, problem.status, dict(problem.headers), MEDIA_TYPE)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return answer(request, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, message = _HTTP_CODES.get(error.status_code, ("request_failed", "the request cannot be served"))
    return answer(request, Problem(error.status_code, code, message, headers=error.headers))


def _wrong(error: Mapping[str, Any]) -> dict[str, str]:
    """One unusable part. Only our own parameter names are repeated: deeper parts of a location are keys the caller
    wrote. What is expected is said where the sentence holds nothing but our own bounds and words."""
    where = error["loc"]
    named = str(where[1]) if len(where) > 1 and where[0] != "body" else "body"
    said = {"message": str(error["msg"])} if error.get("ctx", {}).keys() <= _BOUNDS else {}
    return {"in": str(where[0]), "name": named, "code": str(error["type"]), **said}


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    message = "a part of the request has an unusable value; `errors` names it, /docs shows its form"
    return answer(request, Problem(422, "invalid_value", message, [_wrong(one) for one in error.errors()]))


async def _unavailable(request: Request, error: Exception) -> Response:
    return answer(request, unavailable(str(error)))


async def _reference(request: Request, error: Exception) -> Response:
    return answer(request, Problem(400, "invalid_reference", str(error)))


async def _request(request: Request, error: Exception) -> Response:
    return answer(request, Problem(400, "invalid_request", str(error)))


async def _rejected(request: Request, error: Exception) -> Response:
    assert isinstance(error, Rejected)
    return answer(request, Problem(400, error.code, error.message))


def install(app: FastAPI) -> None:
    """Give every failure its answer."""
    handlers = {
        Problem: _problem,
        HTTPException: _http,
        RequestValidationError: _validation,
        Unavailable: _unavailable,
        InvalidReference: _reference,
        InvalidRequest: _request,
        Rejected: _rejected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(LastResort)


def route_template(scope: Scope) -> str:
    """The matched route's template, never the path: a path may carry a person's identifier."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def unforeseen(request: Request, error: Exception) -> Problem:
    """A 500 without details. The log gets the place in the code, not the message: an exception's text may hold what
    the caller sent."""
    where = "".join(traceback.format_tb(error.__traceback__)[-4:])
    log.error("%s in %s, trace %s\n%s", type(error).__name__, route_template(request.scope), trace_id(request), where)
    return Problem(500, "internal", "something failed on our side; try again, and report the trace_id if it stays")


class LastResort:
    """What nobody expected gets an answer all the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # noqa: BLE001 - the shell's last line
            request = Request(scope)
            problem = unforeseen(request, error)
            if not started:
                await answer(request, problem)(scope, receive, send)
