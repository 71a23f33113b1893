"""Whether the process lives, whether it can serve, and what it measured. Knows names of parts and their problems;
nothing of people."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response

from api.deps import WorldNow
from api.metrics import CONTENT_TYPE, exposition, note_parity, note_watched
from api.models_view import shelf_of

router = APIRouter(tags=["ops"])
_STATUS: dict[str, Any] = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"type": "string", "enum": ["ok", "unready"]},
        "problems": {"type": "object", "additionalProperties": {"type": "string"}},
        "warnings": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_JSON = {"application/json": {"schema": _STATUS}}


@router.get("/healthz", summary="Is the process alive", responses={200: {"content": _JSON}})
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Can it serve: broker, stores, configuration and model",
    responses={
        200: {"content": _JSON},
        503: {"description": "A part does not answer; `problems` names it", "content": _JSON},
    },
)
async def readyz(world: WorldNow, response: Response) -> dict[str, Any]:
    found = {name: problem for name, problem in (await world.health.problems()).items() if problem}
    if world.configuration.problem:
        found["configuration"] = world.configuration.problem
    warned = {"warnings": warnings} if (warnings := await world.health.warnings()) else {}
    if not found:
        return {"status": "ok", "problems": {}, **warned}
    response.status_code = 503
    return {"status": "unready", "problems": found, **warned}


@router.get(
    "/metrics",
    summary="Measurements in the Prometheus text format",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(world: WorldNow) -> Response:
    if world.models is not None:
        shelf = shelf_of(world)
        parity, watched = await asyncio.to_thread(lambda: (shelf.parity(), shelf.watched()))
        note_parity(parity)
        note_watched(watched)
    return Response(exposition(), media_type=CONTENT_TYPE)
