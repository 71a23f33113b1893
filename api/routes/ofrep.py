"""Flags for stock OpenFeature clients: the OpenFeature Remote Evaluation Protocol, OFREP 0.3.0. Every failure has
OFREP's own shape here; what a flag's value is, `api.flags` knows."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api.audit import asks_in_person, noted, ready_for
from api.deps import World, WorldNow, credential, require
from api.documents import answer, json_body, schema_of
from api.errors import Problem, unavailable
from api.flags import Targeted, Unevaluable, evaluate, evaluate_all, state_tag, targeted
from api.reading import read_bytes
from api.representation import PRIVATE, is_current, json_answer, not_modified
from api.routes.decisions import serving_of
from api.schemas_flags import (
    FLAG_NOT_FOUND,
    GENERAL,
    INVALID_CONTEXT,
    PARSE_ERROR,
    Flag,
    FlagAsk,
    FlagFailure,
    Flags,
)
from engine.audit import DECISION
from engine.ports import ApiKey, PersonView, Unavailable

Client = Annotated[ApiKey, Depends(require("agent", "marketer", "engineer", "admin"))]
EXAMPLE = {"context": {"targetingKey": "user_id:u-1", "reason": "billing"}}
_ASK = msgspec.json.Decoder(FlagAsk)
_TITLES = {
    304: "Nothing these flags rest on has changed since the ETag in If-None-Match",
    400: "The flag cannot be evaluated with this context",
    401: "No key, or one that is unknown or revoked",
    403: "The key's role does not reach this",
    404: "No placement and no experiment has this name",
    429: "Too many requests; retry after the given seconds",
    503: "A server behind this one does not answer; retry after the given seconds",
}
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def _failure(status: int, failure: FlagFailure, headers: Mapping[str, str] | None = None) -> Response:
    return json_answer(failure, status, {**PRIVATE, **(headers or {})})


def _unevaluable(error: Unevaluable, key: str | None) -> Response:
    status = 404 if error.code == FLAG_NOT_FOUND else 400
    named = msgspec.UNSET if key is None else key
    return _failure(status, FlagFailure(error.message, error.code, named))


def _problem(problem: Problem, key: str | None) -> Response:
    if problem.status in (400, 422):
        return _unevaluable(Unevaluable(GENERAL, problem.message), key)
    return _failure(problem.status, FlagFailure(problem.message), problem.headers)


class FlagRoute(APIRoute):
    """A route whose failures are OFREP's, not problem documents."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            key = request.path_params.get("key")
            try:
                return await handler(request)
            except Unevaluable as error:
                return _unevaluable(error, key)
            except Problem as error:
                return _problem(error, key)
            except Unavailable as error:
                return _problem(unavailable(str(error)), key)
            except RequestValidationError:
                return _unevaluable(Unevaluable(GENERAL, "a part of the request has an unusable value"), key)

        return answered


router = APIRouter(prefix="/ofrep/v1/evaluate", tags=["flags"], route_class=FlagRoute)


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": schema_of(FlagFailure)}}
    return {
        status: {"description": _TITLES[status], **({} if status == 304 else {"content": content})}
        for status in sorted({400, 401, 403, 429, 503, *statuses})
    }


async def _read(request: Request) -> FlagAsk:
    body = await read_bytes(request)
    try:
        return _ASK.decode(body)
    except msgspec.ValidationError as error:
        raise Unevaluable(INVALID_CONTEXT, 'the body is {"context": {...}} with a targetingKey') from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unevaluable(PARSE_ERROR, "the body is not JSON; send a JSON object in UTF-8") from error


async def _who(request: Request, world: World) -> Targeted:
    return await targeted(await _read(request), world)


def _note(request: Request, world: World, key: ApiKey, view: PersonView) -> None:
    """One line of the audit for all flags of somebody known, where a person asks."""
    if view.known and asks_in_person(key, credential(request)):
        noted(world, key, DECISION, view.profile_id)


@router.post(
    "/flags/{key}",
    summary="Evaluate one flag: a placement's next best action, or an experiment's variant",
    response_class=Response,
    responses={200: answer(Flag, "The flag; its decision or exposure is logged"), **_failures(404)},
    openapi_extra=json_body(FlagAsk, EXAMPLE),
)
async def evaluate_flag(
    request: Request, key: Annotated[str, Path(examples=["web"])], asker: Client, world: WorldNow
) -> Response:
    """OFREP single evaluation. The value of a placement is its winning action with the decision's id; without `value`
    the caller's default applies."""
    ready_for(world, asker, credential(request))
    who = await _who(request, world)
    flag = await evaluate(key, who, serving_of(request))
    _note(request, world, asker, who.view)
    return json_answer(flag, headers=PRIVATE)


@router.post(
    "/flags",
    summary="Evaluate every flag: experiments, and placements on the web",
    response_class=Response,
    responses={200: answer(Flags, "The flags", ("ETag",)), **_failures(304)},
    openapi_extra=json_body(FlagAsk, EXAMPLE),
)
async def evaluate_flags(
    request: Request, asker: Client, world: WorldNow, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """OFREP bulk evaluation, for clients that keep the answer. 304 decides and logs nothing."""
    who, serving = await _who(request, world), serving_of(request)
    tag = state_tag(who, serving)
    if is_current(if_none_match, tag):
        return not_modified(tag)
    ready_for(world, asker, credential(request))
    flags = await evaluate_all(who, serving)
    _note(request, world, asker, who.view)
    return json_answer(flags, headers={"ETag": tag, **PRIVATE})
