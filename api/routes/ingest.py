"""The door events come in by: Segment's and RudderStack's paths, CloudEvents, and the two configuration requests their
browser clients start with. Knows paths and answers; reading and accepting are done elsewhere."""

import re
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from api import cloudevents, intake
from api.body import read_body, read_envelope, read_items, read_object
from api.deps import World, WorldNow
from api.documents import problems
from api.errors import Problem
from api.ingest_documents import BATCH, CLOUDEVENT, CONFIGURATION, TAKEN, single
from api.intake import Delivery
from api.stating import sends_gpc
from api.throttle import Throttle
from api.write_keys import in_headers, offered, writer
from engine.ports import ApiKey

router = APIRouter(tags=["ingest"])
KINDS = ("identify", "track", "page", "screen", "group", "alias", "merge")
SHORT = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias"}
BATCH_PATHS = ("/v1/batch", "/v1/b")
CONFIG_PREFIX = "/v1/projects/"
# what the browsers' door answers OPTIONS for
PATHS: dict[str, str] = {
    **{f"/v1/{name}": "POST, OPTIONS" for name in (*KINDS, *SHORT)},
    **dict.fromkeys((*BATCH_PATHS, "/v1/cloudevents"), "POST, OPTIONS"),
    **dict.fromkeys(("/sourceConfig", "/sourceConfig/"), "GET, OPTIONS"),
}
PREFIXES: dict[str, str] = {CONFIG_PREFIX: "GET, OPTIONS"}
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
WriteKey = Annotated[str, Path(alias="writeKey", max_length=200, examples=["write-key"])]


class Admission(msgspec.Struct, frozen=True):
    """Who may write, and the rate fields of the answer."""

    key: ApiKey
    headers: dict[str, str]


async def _admit(request: Request, world: World, in_body: Any = None) -> Admission:
    """Raises a 401, 403 or 429."""
    key = await writer(request, world, in_body)
    throttle: Throttle = request.app.state.throttle
    allowance = throttle.take(key.name, world.clock())
    fields = throttle.headers(allowance)
    if not allowance.passes:
        headers = {**fields, "Retry-After": str(allowance.wait_s)}
        raise Problem(429, "rate_limited", "too many requests for this key; wait and send larger batches", (), headers)
    return Admission(key, fields)


async def _admit_early(request: Request, world: World) -> Admission | None:
    """Admission before the body is read, where the headers alone say who is sending."""
    return await _admit(request, world) if in_headers(request) else None


def _strict(request: Request) -> bool:
    return request.headers.get("x-strict-mode") == "1"


async def _take_one(request: Request, world: World, kind: str) -> Response:
    early = await _admit_early(request, world)
    item = read_object(await read_body(request, world.limits.event_bytes))
    admission = early or await _admit(request, world, item.get("writeKey"))
    delivery = Delivery([{**item, "type": kind}], request.headers.get("sentat"), _strict(request), sends_gpc(request))
    return intake.answered(await intake.take(world, admission.key, delivery), admission.headers)


def _single(kind: str, path: str) -> None:
    async def one(request: Request, world: WorldNow) -> Response:
        return await _take_one(request, world, kind)

    router.add_api_route(
        path,
        one,
        methods=["POST"],
        name=f"{kind} at {path}",
        summary=f"One {kind} event",
        responses={**problems(), **TAKEN},
        openapi_extra=single(kind),
        include_in_schema=path == f"/v1/{kind}",
    )


for _kind in KINDS:
    _single(_kind, f"/v1/{_kind}")
for _letter, _kind in SHORT.items():
    _single(_kind, f"/v1/{_letter}")


@router.post("/v1/b", include_in_schema=False)
@router.post("/v1/batch", summary="Up to 500 KB of events", responses={**problems(), **TAKEN}, openapi_extra=BATCH)
async def batch(request: Request, world: WorldNow) -> Response:
    early = await _admit_early(request, world)
    envelope = read_envelope(await read_body(request, world.limits.batch_bytes))
    admission = early or await _admit(request, world, envelope.writeKey)
    items = read_items(envelope, world.limits.event_bytes)
    sent_at = envelope.sentAt if envelope.sentAt is not None else request.headers.get("sentat")
    delivery = Delivery(items, sent_at, _strict(request), sends_gpc(request))
    return intake.answered(await intake.take(world, admission.key, delivery), admission.headers)


@router.post(
    "/v1/cloudevents",
    summary="CloudEvents 1.0: binary, structured or batch",
    responses={**problems(415), **TAKEN},
    openapi_extra=CLOUDEVENT,
)
async def take_cloudevents(request: Request, world: WorldNow) -> Response:
    admission = await _admit(request, world)
    body = await read_body(request, world.limits.batch_bytes)
    items = cloudevents.read(request.headers.raw, body, world.limits.event_bytes)
    delivery = Delivery(items, None, _strict(request), sends_gpc(request))
    return intake.answered(await intake.take(world, admission.key, delivery), admission.headers)


def _here(request: Request) -> dict[str, str]:
    """Where the client's events should go: the host it asked, if that is one."""
    host = request.headers.get("host", "")
    return {"apiHost": f"{host}/v1", "protocol": request.url.scheme} if _HOST.fullmatch(host) else {}


@router.get(
    "/v1/projects/{writeKey}/settings",
    summary="What Segment's browser client asks first",
    responses={**problems(), **CONFIGURATION},
)
async def segment_settings(request: Request, world: WorldNow, write_key: WriteKey) -> dict[str, Any]:
    await writer(request, world, write_key)
    return {"integrations": {"Segment.io": {"apiKey": write_key, **_here(request)}}}


@router.get("/sourceConfig", include_in_schema=False)
@router.get(
    "/sourceConfig/",
    summary="What RudderStack's browser client asks first",
    responses={**problems(), **CONFIGURATION},
)
async def rudder_source(
    request: Request,
    world: WorldNow,
    write_key: Annotated[str, Query(alias="writeKey", max_length=200, examples=["write-key"])] = "",
) -> dict[str, Any]:
    key = await writer(request, world, write_key)
    quiet = {"errors": {"enabled": False}, "metrics": {"enabled": False}}
    source = {
        "id": key.name,
        "name": key.name,
        "writeKey": offered(request, write_key),
        "enabled": True,
        "workspaceId": "rapport",
        "config": {"statsCollection": quiet},
        "destinations": [],
        "connections": [],
        "dataplanes": {},
    }
    return {"source": source}
