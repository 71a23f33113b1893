"""Outcomes over HTTP: one, or up to 500 that stand or fall alone. An outcome becomes an event of the decision's
profile; saying the same thing twice is saying it once."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from api.deps import World, WorldNow, require
from api.documents import answer, one_or_many, problems
from api.erased import GONE, is_erased
from api.errors import Problem
from api.reading import decode, read_bytes
from api.refusal import Refused
from api.representation import json_answer
from api.routes.decisions import DECISION_EXAMPLE
from api.schemas import ItemError, OutcomeReport, OutcomeReports, OutcomesTaken
from api.serving import recorded
from engine.attribution import outcome_event
from engine.errors import Rejected
from engine.events import Event, parse_time
from engine.outcome import KINDS, Outcome
from engine.ports import ApiKey

router = APIRouter(prefix="/v1", tags=["decisions"])
Reporter = Annotated[ApiKey, Depends(require("agent", "marketer", "engineer", "admin"))]
MAX_BODY = 512 * 1024
_ONE = msgspec.json.Decoder(OutcomeReport)
_MANY = msgspec.json.Decoder(OutcomeReports)
_SHAPE = msgspec.json.Decoder(dict[str, msgspec.Raw])
EXAMPLE = {"decision_id": DECISION_EXAMPLE, "action_id": "call_back", "outcome": "presented", "by": "agent-7"}


def _timed(report: OutcomeReport, received: int) -> int | Refused:
    try:
        at = parse_time(report.at)
    except Rejected as error:
        return Refused(error.code, error.message)
    return received if at is None else min(max(at, 0), received)


def _said(report: OutcomeReport, at: int) -> Outcome:
    return Outcome(
        report.decision_id, report.action_id, report.outcome, at, report.value, report.by or "", report.reason or ""
    )


async def _event(world: World, report: OutcomeReport, received: int) -> Event | Refused:
    if report.outcome not in KINDS:
        return Refused("unknown_outcome", f"an outcome is one of {', '.join(KINDS)}")
    at = _timed(report, received)
    if isinstance(at, Refused):
        return at
    record = await recorded(world, report.decision_id)
    if record is None:
        if await is_erased(world, report.decision_id):
            return GONE
        return Refused("unknown_decision", "no decision has this id; send it as POST /v1/decisions gave it")
    try:
        return outcome_event(_said(report, at), record, world.now.catalogue, received)
    except Rejected as error:
        return Refused(error.code, error.message)


async def _taken(world: World, reports: list[OutcomeReport]) -> OutcomesTaken:
    received = world.clock()
    found = await asyncio.gather(*(_event(world, report, received) for report in reports))
    events = [one for one in found if isinstance(one, Event)]
    if events:
        await world.log.append(events)
    refused = [ItemError(i, one.code, one.message) for i, one in enumerate(found) if isinstance(one, Refused)]
    return OutcomesTaken(len(events), refused)


_STATUS_OF = {"unknown_decision": 404, GONE.code: 410}


def _single(taken: OutcomesTaken) -> OutcomesTaken:
    for refused in taken.rejected:
        raise Problem(_STATUS_OF.get(refused.code, 422), refused.code, refused.message)
    return taken


_BODY = one_or_many(OutcomeReport, OutcomeReports, EXAMPLE)


@router.post(
    "/outcomes",
    summary="Report what became of a decision",
    response_class=Response,
    responses={200: answer(OutcomesTaken, "How many were accepted and which were not"), **problems(404, 410)},
    openapi_extra=_BODY,
)
async def report_outcomes(request: Request, _key: Reporter, world: WorldNow) -> Response:
    """One outcome as an object, or up to 500 as `{"outcomes": [...]}`, each of which stands or falls alone."""
    data = await read_bytes(request, MAX_BODY)
    if "outcomes" in decode(data, _SHAPE):
        return json_answer(await _taken(world, decode(data, _MANY).outcomes))
    return json_answer(_single(await _taken(world, [decode(data, _ONE)])))
