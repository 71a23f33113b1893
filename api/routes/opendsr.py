"""Data subjects' requests in the form of OpenDSR: taken with a signed receipt, callable back while they wait, carried
out by the erasure and export parts. Every failure has OpenDSR's own shape here."""

from base64 import b64encode
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api.answers import iso
from api.audit import noted
from api.deps import World, WorldNow, credential, require
from api.documents import answer, json_body, schema_of
from api.errors import Problem, unavailable
from api.lines import NDJSON
from api.reading import decode, read_bytes
from api.representation import json_answer
from api.routes.decisions import Lines
from api.routes.erasure import exported
from api.routes.unsubscribe import link_base
from api.schemas_erasure import ExportLine
from api.schemas_opendsr import (
    Detail,
    Discovery,
    Failed,
    Failure,
    RequestAsk,
    RequestCancelled,
    RequestStatus,
    RequestTaken,
    SubjectIdentity,
    SupportedIdentity,
)
from api.serving import reference
from api.session import COOKIE
from api.status_calls import API_VERSION, SIGNED, expected, results_url, signature, status_now
from engine.audit import EXPORT
from engine.data_request import COMPLETED, ERASURE, KEPT_MS, KINDS, WAIT_MS, DataRequest, digest_of
from engine.errors import EngineError
from engine.ports import ApiKey, PersonView, Unavailable
from engine.status_callback import Callback, secret_for

# identity types of OpenDSR and what they are called here; a hash of theirs cannot be led to a keyed hash of ours
MATCHED = {"email": "email", "phone": "phone", "controller_customer_id": "user_id"}
RAW = "raw"
SIGNED_BY = "HMAC-SHA256 of the body under the API key of the request, in base64"
PLACE = "/opendsr_requests"
EXAMPLE_ID = "a7551968-d5d6-44b2-9831-815ac9017798"
EXAMPLE = {
    "regulation": "gdpr",
    "subject_request_id": EXAMPLE_ID,
    "subject_request_type": "access",
    "submitted_time": "2026-10-02T15:00:00Z",
    "subject_identities": [{"identity_type": "email", "identity_value": "ann@example.org", "identity_format": "raw"}],
    "api_version": API_VERSION,
}
HEADERS = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_TITLES = {
    400: "The request cannot be taken as it is",
    401: "No key, or one that is unknown or revoked",
    403: "The key's role does not reach this",
    404: "No request of this key has this id",
    409: "The id stands for another request, or the request is past cancelling",
    410: "The result is not kept any longer",
    429: "Too many requests; retry after the given seconds",
    503: "A server behind this one does not answer; retry after the given seconds",
}
_ASK = msgspec.json.Decoder(RequestAsk)
Controller = Annotated[ApiKey, Depends(require("preference_center", "admin"))]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
RequestId = Annotated[str, Path(max_length=64, description="The subject_request_id", examples=[EXAMPLE_ID])]


def _failure(problem: Problem) -> Response:
    code = 400 if problem.status == 422 else problem.status
    body = Failed(Failure(code, problem.message, [Detail("OpenDSR", problem.code, problem.message)]))
    return json_answer(body, code, {**HEADERS, **problem.headers})


class OpenDsrRoute(APIRoute):
    """A route whose failures are OpenDSR's, not problem documents."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as error:
                return _failure(error)
            except Unavailable as error:
                return _failure(unavailable(str(error)))
            except EngineError as error:
                return _failure(Problem(400, "invalid_request", str(error)))
            except RequestValidationError:
                return _failure(Problem(400, "invalid_value", "a part of the request has an unusable value"))

        return answered


router = APIRouter(prefix="/opendsr/v1", tags=["OpenDSR"], route_class=OpenDsrRoute)


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": schema_of(Failed)}}
    every = sorted({400, 401, 403, 429, 503, *statuses})
    return {status: {"description": _TITLES[status], "content": content} for status in every}


def _signed(request: Request, world: World, body: Any, status: int = 200) -> Response:
    """An answer whose receiver can prove that we gave it: signed under the secret that both of us know."""
    made = json_answer(body, status, HEADERS)
    made.headers.update(signature(link_base(request, world), _secret(request), bytes(made.body)))
    return made


def _secret(request: Request) -> str:
    return credential(request) or request.cookies.get(COOKIE, "")


def _place(request: Request, world: World) -> str:
    """Where requests are, for whoever sent this one."""
    return f"{link_base(request, world)}{router.prefix}{PLACE}"


@router.get(
    "/discovery",
    summary="What OpenDSR requests are understood",
    response_class=Response,
    responses={200: answer(Discovery, "Identities, request types, and how answers are signed")},
)
async def discover() -> Response:
    """Open to everybody, as the specification has it."""
    identities = [SupportedIdentity(kind, RAW) for kind in MATCHED]
    return json_answer(Discovery(API_VERSION, identities, list(KINDS), "", SIGNED_BY, status_callbacks=True))


def _subject(world: World, one: SubjectIdentity) -> tuple[str, str]:
    if one.identity_type not in MATCHED:
        raise Problem(400, "unsupported_identity_type", f"identity_type is one of {', '.join(MATCHED)}")
    if one.identity_format != RAW:
        text = "identity_format must be raw: identifiers are kept under a keyed hash, to which no other hash leads"
        raise Problem(400, "unsupported_identity_format", text)
    named = reference(world, f"{MATCHED[one.identity_type]}:{one.identity_value}")
    return named.id, named.type


async def _asked(request: Request) -> tuple[RequestAsk, bytes]:
    body = await read_bytes(request)
    return decode(body, _ASK), body


@router.post(
    PLACE,
    summary="Ask for access, portability or erasure",
    status_code=201,
    response_class=Response,
    responses={201: answer(RequestTaken, "Taken; the receipt is signed", SIGNED), **_failures(409)},
    openapi_extra=json_body(RequestAsk, EXAMPLE),
)
async def take(request: Request, key: Controller, world: WorldNow) -> Response:
    """The request waits a moment, in which DELETE calls it back, and is then carried out. The same id for the same
    thing is the same request, however often it comes."""
    ask, body = await _asked(request)
    subjects = tuple(dict.fromkeys(_subject(world, one) for one in ask.subject_identities))
    now, kind = world.clock(), ask.subject_request_type
    wanted = DataRequest(
        id=ask.subject_request_id,
        controller=key.name,
        kind=kind,
        regulation=ask.regulation,
        digest=digest_of(kind, ask.regulation, subjects),
        subjects=subjects,
        received_at=now,
        due_at=now + WAIT_MS,
    )
    kept = await world.requests.add(wanted)
    if kept.digest != wanted.digest or not _is_theirs(key, kept):
        text = "this subject_request_id stands for another request; make a new UUID for every request"
        raise Problem(409, "subject_request_id_taken", text)
    for url in dict.fromkeys(ask.status_callback_urls):
        secret, until = secret_for(_secret(request), kept.id), kept.received_at + KEPT_MS
        await world.callbacks.add(Callback(kept.id, url, _place(request, world), secret, until, kept.due_at))
    encoded = b64encode(body).decode()
    receipt = RequestTaken(kept.controller, expected(kept), iso(kept.received_at), encoded, kept.id)
    return _signed(request, world, receipt, 201)


def _is_theirs(key: ApiKey, request: DataRequest) -> bool:
    """Whether a key reaches a request: its own, and an admin everybody's."""
    return request.controller == key.name or key.role == "admin"


async def _kept(world: World, key: ApiKey, request_id: str) -> DataRequest:
    """Another controller's request is as unknown as none: that it exists is already something about a person."""
    found = await world.requests.find(request_id)
    if found is None or not _is_theirs(key, found):
        raise Problem(404, "unknown_request", "no request has this subject_request_id")
    return found


@router.get(
    PLACE + "/{request_id}",
    summary="How far a request is",
    response_class=Response,
    responses={200: answer(RequestStatus, "pending, in_progress, completed or cancelled", SIGNED), **_failures(404)},
)
async def read_status(request: Request, request_id: RequestId, key: Controller, world: WorldNow) -> Response:
    """An erasure is completed when every store is empty; of access and portability there is a `results_url` then."""
    found = await _kept(world, key, request_id)
    status = await status_now(world, found)
    place = results_url(_place(request, world), found, status)
    told = RequestStatus(found.controller, expected(found), found.id, status, API_VERSION, place)  # type: ignore[arg-type]
    return _signed(request, world, told)


@router.delete(
    PLACE + "/{request_id}",
    summary="Call a request back while it is pending",
    status_code=202,
    response_class=Response,
    responses={202: answer(RequestCancelled, "Cancelled", SIGNED), **_failures(404, 409)},
)
async def cancel(request: Request, request_id: RequestId, key: Controller, world: WorldNow) -> Response:
    """Nothing was done then, and nothing will be. Cancelling twice is cancelling once."""
    found = await _kept(world, key, request_id)
    if not await world.requests.cancel(found.id) and (await _kept(world, key, request_id)).state != "cancelled":
        raise Problem(409, "not_pending", "the request is carried out already and cannot be called back")
    told = RequestCancelled(found.controller, found.id, iso(world.clock()), API_VERSION)
    return _signed(request, world, told, 202)


async def _people(world: World, subjects: Sequence[tuple[str, str]]) -> list[PersonView]:
    """The persons behind several identifiers, each once."""
    views = await world.people.people([identity for identity, _ in subjects])
    return list({view.profile_id: view for view in views}.values())


@router.get(
    PLACE + "/{request_id}/results",
    summary="What an access or portability request gives",
    response_class=Lines,
    responses={200: answer(ExportLine, "As GET …/export", media_type=NDJSON), **_failures(404, 409, 410)},
)
async def read_results(request_id: RequestId, key: Controller, world: WorldNow) -> Response:
    """Everything kept of the person, read at this moment: no copy waits anywhere. For 30 days."""
    found = await _kept(world, key, request_id)
    if found.kind == ERASURE or await status_now(world, found) != COMPLETED:
        raise Problem(409, "no_results", "there is nothing to fetch: ask for the status, results_url says when")
    if not found.subjects or found.received_at + KEPT_MS < world.clock():
        raise Problem(410, "results_expired", "the result was there for 30 days; make a new request")
    views = await _people(world, found.subjects)
    for view in views:
        noted(world, key, EXPORT, view.profile_id)
    return exported(world, *views)
