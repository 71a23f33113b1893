"""Replay over HTTP: a past decision made again and compared, and what would have won had one input been another. Who
may ask, and about whom, is decided here; how it is made is the models' business."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response

from api.answers import consent_of, purposes_of
from api.audit import noted
from api.deps import World, WorldNow, require
from api.documents import answer, json_body, problems
from api.erased import refuse_erased
from api.errors import Problem
from api.reading import decode, is_plain, read_bytes
from api.record_view import AUDITOR, REPLAYERS, answer_seen, reader_of, reasons_seen, withdrew_since
from api.representation import PRIVATE, json_answer
from api.routes.decisions import DECISION_EXAMPLE
from api.schemas_replay import ReplayAnswer, ReplayAsk
from api.serving import recorded
from engine.audit import REPLAY
from engine.decision_id import profile_of
from engine.ports import ApiKey, PersonView
from engine.records import DecisionRecord
from models.replay import NotReplayable, Replayed, replay
from models.what_if import Change, Supposed, Unsupposable, what_if

router = APIRouter(prefix="/v1", tags=["decisions"])
Reviewer = Annotated[ApiKey, Depends(require(*sorted(REPLAYERS)))]
_ASK = msgspec.json.Decoder(ReplayAsk)
EXAMPLE = {"what_if": {"kind": "context", "name": "reason", "value": "technical"}}


class Asked(msgspec.Struct, frozen=True):
    """Who asks about whom: the key, the person as stored today, and the record."""

    key: ApiKey
    view: PersonView
    record: DecisionRecord


@router.post(
    "/decisions/{decision_id}/replay",
    summary="Make a past decision again and compare",
    response_class=Response,
    responses={200: answer(ReplayAnswer, "Whether it is the same, byte for byte"), **problems(404, 409, 410)},
    openapi_extra=json_body(ReplayAsk, EXAMPLE, "May be empty: then nothing is supposed"),
)
async def replay_decision(
    request: Request,
    decision_id: Annotated[str, Path(max_length=64, examples=[DECISION_EXAMPLE])],
    key: Reviewer,
    world: WorldNow,
) -> Response:
    """Recompute the answer from the record's inputs with the model, catalogue and purposes of that moment. 409 where
    they are no longer kept, or other versions of the libraries would prove nothing."""
    ask = decode(await read_bytes(request) or b"{}", _ASK)
    await refuse_erased(world, decision_id)
    record = await recorded(world, decision_id)
    if record is None:
        raise Problem(404, "unknown_decision", "no decision has this id; ids are kept as POST /v1/decisions gave them")
    asked = Asked(key, await world.people.person(profile_of(decision_id)), record)
    _check_rights(asked, world, ask)
    noted(world, key, REPLAY, asked.view.profile_id)
    try:
        replayed, supposed = await asyncio.to_thread(_made, record, ask, world)
    except NotReplayable as error:
        raise Problem(409, error.code, str(error)) from error
    except Unsupposable as error:
        raise Problem(422, "unsupposable", str(error)) from error
    return json_answer(_body(asked, world, replayed, (ask, supposed)), headers=PRIVATE)


def _check_rights(asked: Asked, world: World, ask: ReplayAsk) -> None:
    """Decisions about somebody who withdrew since are for an auditor, as they were."""
    consent = consent_of(asked.view, world.now.purposes, world.clock())
    if not withdrew_since(asked.record, consent):
        return
    if asked.key.role != AUDITOR or ask.what_if is not None:
        text = "the person withdrew since; only an auditor may replay the decision, and without supposing anything"
        raise Problem(403, "withdrawn_since", text)


def _made(record: DecisionRecord, ask: ReplayAsk, world: World) -> tuple[Replayed, Supposed | None]:
    replayed, wanted = replay(record, world.past), ask.what_if
    if wanted is None:
        return replayed, None
    if not is_plain(wanted.value):
        raise Unsupposable("the value is nested too deeply or holds an integer beyond 64 bits")
    if not replayed.identical:
        raise NotReplayable("not_identical", "the decision does not replay; replay it alone to see what differs")
    return replayed, what_if(record, Change(wanted.kind, wanted.name, wanted.value), world.past)


def _body(asked: Asked, world: World, replayed: Replayed, wanted: tuple[ReplayAsk, Supposed | None]) -> dict[str, Any]:
    reader = reader_of(asked.view, purposes_of(asked.key, world.now.purposes), world.now.purposes, world.clock())
    ask, supposed = wanted
    again, found = replayed.again, replayed.difference
    made = None if again is None else answer_seen(asked.record, again.answer, reader, world.past)
    body: dict[str, Any] = {"identical": replayed.identical, "decision": made}
    if found is not None:
        body["difference"] = msgspec.to_builtins(found)
    if supposed is not None and ask.what_if is not None:
        because = [*supposed.because, *reasons_seen(supposed.reasons, reader)]
        told = {"before": supposed.before, "winner": supposed.winner, "because": because}
        shown = answer_seen(asked.record, supposed.answer, reader, world.past)
        body["what_if"] = {"change": msgspec.to_builtins(ask.what_if), **told, "decision": shown}
    return body
