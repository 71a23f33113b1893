"""Decisions over HTTP: one, many as NDJSON, a past one, and the catalogue they are made from. Knows how a question is
read and an answer written; what is decided is the serving model's business."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Container
from contextlib import aclosing
from functools import wraps
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from starlette.types import Receive, Scope, Send

from api.answers import purposes_of
from api.audit import asks_in_person, noted, noted_if_about_somebody, ready_for
from api.deps import WorldNow, credential, require
from api.direct import Direct
from api.documents import answer, json_body, problems
from api.erased import refuse_erased
from api.errors import Problem
from api.lines import NDJSON, Row, chunks, rows
from api.reading import read_json
from api.record_view import reader_of, recorded_decision, told
from api.refusal import Refused
from api.representation import PRIVATE, is_current, json_answer, not_modified, strong_tag
from api.schemas import BulkLine, DecisionAnswer, DecisionAsk, RecordedDecision
from api.serving import Serving, recorded
from engine.audit import DECISION
from engine.catalog import Documents
from engine.decision_id import profile_of
from engine.ports import ApiKey, Unavailable
from engine.records import DecisionRecord

router = APIRouter(prefix="/v1", tags=["decisions"])
# what is asked hundreds of times a second
direct = APIRouter(prefix="/v1", tags=["decisions"], route_class=Direct)
_may_decide = require("agent", "marketer", "engineer", "admin")
Reader = Annotated[ApiKey, Depends(require("agent", "marketer", "engineer", "auditor", "admin"))]
CHUNK = 50
AT_ONCE = 3
_ASK = msgspec.json.Decoder(DecisionAsk)
_ENCODE = msgspec.json.Encoder().encode
DECISION_EXAMPLE = "aaaaaaaaaaaaaaaa.01K0000000000000000000000A"
EXAMPLE = {
    "profile": "user_id:u-1",
    "placement": "agent_desktop",
    "context": {"reason": "billing", "topic": "invoice"},
    "limit": 3,
}


@wraps(_may_decide)  # what it takes is read off its signature, for the OpenAPI document
async def _decider(request: Request, *more: Any, **named: Any) -> ApiKey:
    """Who asks for a decision, kept with the request: a direct route is not handed what its guards find."""
    key = await _may_decide(request, *more, **named)
    request.state.key = key
    return key


DECIDER = Depends(_decider)


def serving_of(request: Request) -> Serving:
    """The process's one `Serving`, made at first use."""
    state = request.app.state
    if not hasattr(state, "serving"):
        state.serving = Serving(state.world)
    found: Serving = state.serving
    return found


@direct.post(
    "/decisions",
    dependencies=[DECIDER],
    summary="Decide what to do for one customer",
    response_class=Response,
    responses={200: answer(DecisionAnswer, "The decision; it is logged and acknowledged"), **problems()},
    openapi_extra=json_body(DecisionAsk, EXAMPLE),
)
async def decide(request: Request) -> Response:
    """Rank the actions of a placement for a person. Somebody unknown is decided on context alone."""
    serving = serving_of(request)
    ask = await read_json(request, _ASK)
    ready_for(serving.world, request.state.key, credential(request))
    record = await serving.decide(ask)
    _note(request, serving, record)
    return json_answer(told(record.answer, purposes_of(request.state.key, serving.world.now.purposes)))


def _note(request: Request, serving: Serving, record: DecisionRecord) -> None:
    """A line of the audit where a person asks; machines ask hundreds of times a second."""
    if asks_in_person(request.state.key, credential(request)):
        noted_if_about_somebody(serving.world, request.state.key, record)


class Lines(Response):
    """NDJSON as it comes to be. Unlike Starlette's streaming response it does not read the request while it writes,
    so the request's body can still be arriving."""

    media_type = NDJSON

    def __init__(self, parts: AsyncGenerator[bytes], status_code: int = 200) -> None:
        super().__init__(None, status_code)
        self._parts = parts
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._parts) as parts:
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _line(row: int, one: DecisionRecord | Refused, open_to: Container[str]) -> bytes:
    if isinstance(one, Refused):
        return _ENCODE({"row": row, "error": {"code": one.code, "message": one.message}})
    return _ENCODE({"row": row, **told(one.answer, open_to)})


def _read(line: bytes) -> DecisionAsk | Refused:
    try:
        return _ASK.decode(line)
    except msgspec.ValidationError as error:
        return Refused("invalid_row", str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refused("malformed_json", "the line is not a JSON object")


async def _decided(serving: Serving, request: Request, asks: list[DecisionAsk]) -> list[DecisionRecord | Refused]:
    if not asks:
        return []
    try:
        ready_for(serving.world, request.state.key, credential(request))
        decided = await serving.decide_many(asks)
        for one in decided:
            if isinstance(one, DecisionRecord):
                _note(request, serving, one)
        return decided
    except Unavailable as error:
        return [Refused("unavailable", f"{error}; send this row again")] * len(asks)


async def _lines(serving: Serving, request: Request, chunk: list[Row]) -> bytes:
    read = [(number, line if isinstance(line, Refused) else _read(line)) for number, line in chunk]
    asks = [one for _, one in read if isinstance(one, DecisionAsk)]
    decided = iter(await _decided(serving, request, asks))
    open_to = purposes_of(request.state.key, serving.world.now.purposes)
    lines = (_line(number, one if isinstance(one, Refused) else next(decided), open_to) for number, one in read)
    return b"\n".join(lines) + b"\n"


async def _answers(serving: Serving, request: Request) -> AsyncGenerator[bytes]:
    """The answers in order. While the log acknowledges one chunk the next one is read and decided."""
    waiting: deque[asyncio.Task[bytes]] = deque()
    try:
        async for chunk in chunks(rows(request), CHUNK):
            waiting.append(asyncio.create_task(_lines(serving, request, chunk)))
            if len(waiting) == AT_ONCE:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()


@direct.post(
    "/decisions/bulk",
    dependencies=[DECIDER],
    summary="Decide for many customers",
    response_class=Lines,
    responses={
        200: answer(BulkLine, "One line per row, in the order of the rows", media_type=NDJSON),
        **problems(),
    },
    # described as JSON, which one row is: tools that make requests from this document cannot write NDJSON
    openapi_extra=json_body(DecisionAsk, EXAMPLE, f"{NDJSON}: one such object per line, without a list around them"),
)
async def decide_bulk(request: Request) -> Response:
    """NDJSON in and out: one decision request per line. A row that cannot be answered says so in its own line."""
    return Lines(_answers(serving_of(request), request))


@router.get(
    "/decisions/{decision_id}",
    summary="A past decision and what it was made from",
    response_class=Response,
    responses={200: answer(RecordedDecision, "The decision of that day"), **problems(404, 410)},
)
async def read_decision(
    decision_id: Annotated[str, Path(max_length=64, examples=[DECISION_EXAMPLE])],
    key: Reader,
    world: WorldNow,
) -> Response:
    """The answer as it was given, and its inputs as far as the key's purposes and today's consent reach."""
    await refuse_erased(world, decision_id)
    record = await recorded(world, decision_id)
    if record is None:
        raise Problem(404, "unknown_decision", "no decision has this id; ids are kept as POST /v1/decisions gave them")
    view = await world.people.person(profile_of(decision_id))
    noted(world, key, DECISION, view.profile_id)
    policy = world.now.purposes
    reader = reader_of(view, purposes_of(key, policy), policy, world.clock())
    shown = await asyncio.to_thread(recorded_decision, record, reader, world.past)
    return json_answer(shown, headers=PRIVATE)


@router.get(
    "/catalogue",
    summary="Actions, placements and contact policy in force",
    response_class=Response,
    responses={200: answer(Documents, "The catalogue", ("ETag",)), **problems(304)},
)
async def read_catalogue(
    _key: Reader, world: WorldNow, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """What can be decided right now, with the version that every decision names."""
    body: Any = msgspec.to_builtins(world.now.catalogue.documents)
    tag = strong_tag(body)
    if is_current(if_none_match, tag):
        return not_modified(tag)
    return json_answer(body, headers={"ETag": tag, **PRIVATE})
