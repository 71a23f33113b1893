"""Erasing a person and handing out everything that is kept of one. The wish goes to the log; what becomes of it is read
from the job. Knows ports; how anything is erased is the stations' business."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from api.answers import iso
from api.audit import noted
from api.deps import World, WorldNow, require
from api.documents import answer, problems
from api.errors import Problem
from api.export_view import line, opening
from api.lines import NDJSON
from api.representation import PRIVATE, json_answer
from api.routes.decisions import Lines
from api.routes.profiles import Ref
from api.schemas_erasure import Certificate, ErasureAnswer, ExportLine, LogEnds, ModelTrained, StoreErased
from api.serving import reference
from engine.audit import EXPORT
from engine.decision_id import ulid
from engine.erasure import forget_event
from engine.erasure_job import MARGIN_MS, REASONS, Job, Reason
from engine.identifiers import Identifier
from engine.ports import ApiKey, PersonView, Unavailable

router = APIRouter(prefix="/v1", tags=["erasure and export"])
Eraser = Annotated[ApiKey, Depends(require("preference_center", "admin"))]
Leaving = Annotated[
    str,
    Path(max_length=512, description="`type:value`, as in GET /v1/profiles/{ref}", examples=["user_id:u-leaving"]),
]
Reader = Annotated[ApiKey, Depends(require("preference_center", "auditor", "admin"))]
Why = Annotated[
    Reason,
    Query(description="A word and no text, because the certificate outlives the person's data", examples=[REASONS[0]]),
]
ERASURE_EXAMPLE = "01K0000000000000000000000B"
TOGETHER = 50
# private to one person and unmasked: no cache on the way is to hold it
UNKEPT = {"Cache-Control": "no-store"}


async def _somebody(world: World, ref: str) -> tuple[Identifier, PersonView]:
    """Whom a reference names. Raises a 404 for somebody nothing is kept of."""
    named = reference(world, ref)
    view = await world.people.person(named.id)
    if not view.kept:
        message = "nothing is kept under this reference; it is normalised as events are, so check its type and spelling"
        raise Problem(404, "unknown_profile", message)
    return named, view


@router.delete(
    "/profiles/{ref:path}",
    summary="Erase a person",
    status_code=202,
    response_class=Response,
    responses={202: answer(ErasureAnswer, "The wish is recorded; ask the job", ("Location",)), **problems(404)},
)
async def erase(ref: Leaving, key: Eraser, world: WorldNow, reason: Why = REASONS[0]) -> Response:
    """Everything dated before now, and a moment more, under every identifier of the person. Late events dated before
    stay out; a later event starts a new person."""
    named, _ = await _somebody(world, ref)
    job = await begun(world, (named.id, named.type), key.name, reason)
    return json_answer(erasure_answer(job), 202, {"Location": f"/v1/erasures/{job.id}", **PRIVATE})


async def begun(world: World, subject: tuple[str, str], who: str, reason: str = REASONS[0]) -> Job:
    """Record the wish to erase a subject (an identifier's id and its type); what follows is the stations' business."""
    now = world.clock()
    job = Job(
        id=ulid(now, secrets.token_bytes(10)),
        subject=subject[0],
        subject_type=subject[1],
        requested_by=who,
        reason=reason,
        requested_at=now,
        before=now + MARGIN_MS,
    )
    await world.erasures.save(job)
    try:
        await world.log.append_now(forget_event(subject, job.id, now, job.before))
    except Unavailable:
        await world.erasures.drop(job.id)
        raise
    return await world.erasures.find(job.id) or job


@router.get(
    "/erasures/{erasure_id}",
    summary="How far an erasure is, and its certificate",
    response_class=Response,
    responses={200: answer(ErasureAnswer, "The job"), **problems(404)},
)
async def read_erasure(
    erasure_id: Annotated[str, Path(max_length=64, examples=[ERASURE_EXAMPLE])], _key: Reader, world: WorldNow
) -> Response:
    """The certificate grows while stores are emptied; it is final when the status is `completed`."""
    job = await world.erasures.find(erasure_id)
    if job is None:
        raise Problem(404, "unknown_erasure", "no erasure has this id; ids are as DELETE /v1/profiles/{ref} gave them")
    return json_answer(erasure_answer(job), headers=PRIVATE)


def _when(at: int | None) -> str | None:
    return None if at is None else iso(at)


def erasure_answer(job: Job) -> ErasureAnswer:
    """The job as a client reads it."""
    certificate = Certificate(
        identifiers=list(job.identifiers),
        stores=[StoreErased(one.store, one.rows, one.note) for one in job.stores],
        log=[LogEnds(end.topic, _when(end.at), end.note) for end in job.log],
        models=[ModelTrained(model.version, model.decisions) for model in job.models],
    )
    return ErasureAnswer(
        erasure_id=job.id,
        status=job.status,  # type: ignore[arg-type]
        requested_by=job.requested_by,
        reason=job.reason,
        requested_at=iso(job.requested_at),
        erased_before=iso(job.before),
        started_at=_when(job.started_at),
        completed_at=_when(job.completed_at),
        certificate=certificate,
    )


@router.get(
    "/profiles/{ref:path}/export",
    summary="Everything kept of a person",
    response_class=Lines,
    responses={200: answer(ExportLine, "One line per thing, `end` last", media_type=NDJSON), **problems(404)},
)
async def export(ref: Ref, key: Eraser, world: WorldNow) -> Response:
    """Profile, consent, every event, decision and outcome, links, and what every other store holds, as JSON lines.
    Unmasked: it is the person's copy. An export without its last line, `end`, is not complete."""
    _, view = await _somebody(world, ref)
    noted(world, key, EXPORT, view.profile_id)
    return exported(world, view)


def exported(world: World, *views: PersonView) -> Lines:
    """Everything kept of one person after another as an answer that is written while it is read, and kept nowhere on
    its way."""
    made = Lines(_all_exported(world, views))
    made.headers.update(UNKEPT)
    return made


async def _all_exported(world: World, views: Sequence[PersonView]) -> AsyncGenerator[bytes]:
    for view in views:
        async with aclosing(_exported(world, view)) as parts:
            async for part in parts:
                yield part


async def _exported(world: World, view: PersonView) -> AsyncGenerator[bytes]:
    counts: dict[str, int] = {}
    waiting: list[bytes] = []
    async for kind, value in _things(world, view):
        counts[kind] = counts.get(kind, 0) + 1
        waiting.append(line(kind, value))
        if len(waiting) >= TOGETHER:
            yield b"".join(waiting)
            waiting.clear()
            await asyncio.sleep(0)
    yield b"".join((*waiting, line("end", {"counts": counts})))


async def _things(world: World, view: PersonView) -> AsyncIterator[tuple[str, Any]]:
    for thing in opening(view):
        yield thing
    async for thing in world.exports.everything(view):
        yield thing
    for proof in await world.consents.history(view.members):
        yield "consent_record", proof
