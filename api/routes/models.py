"""Models over HTTP: what is stored, what serves, promote through the gate, go back. Judges nothing itself and offers
no way around the gate."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response

from api.answers import iso
from api.deps import WorldNow, require
from api.documents import answer, problems
from api.errors import Problem
from api.models_view import ModelShelf, model_lines, shelf_of
from api.representation import PRIVATE, json_answer
from api.schemas_models import ModelCard, ModelList, Promoted, Promotion, RolledBack
from engine.ports import ApiKey
from models.scorer import ModelError

router = APIRouter(prefix="/v1/models", tags=["models"])
Reader = Annotated[ApiKey, Depends(require("engineer", "marketer", "auditor", "admin"))]
Editor = Annotated[ApiKey, Depends(require("engineer", "admin"))]
VERSION_EXAMPLE = "m20260131-120000-1a2b3c4d"
Named = Annotated[str, Path(max_length=64, examples=[VERSION_EXAMPLE])]


def _promotion(line: Mapping[str, Any]) -> Promotion:
    return Promotion(iso(line["at"]), line["event"], line["version"], line["before"], dict(line.get("why") or {}))


def _listed(shelf: ModelShelf, serving: str) -> ModelList:
    history = [_promotion(line) for line in shelf.history()]
    return ModelList(shelf.champion(), serving, model_lines(shelf), history[::-1][:50])


@router.get(
    "",
    summary="Stored models and what serves",
    response_class=Response,
    responses={200: answer(ModelList, "Newest first, with the history of promotions"), **problems()},
)
async def list_models(_key: Reader, world: WorldNow) -> Response:
    """Every stored version with its metrics; the champion is what new decisions are made with."""
    serving = world.live_model.current().version
    return json_answer(await asyncio.to_thread(_listed, shelf_of(world), serving), headers=PRIVATE)


@router.get(
    "/{version}",
    summary="A model's card",
    response_class=Response,
    responses={200: answer(ModelCard, "The card"), **problems(404)},
)
async def read_model(version: Named, _key: Reader, world: WorldNow) -> Response:
    """What it learned from, how good it is, which columns it uses, and what its evaluation does not prove."""
    card = await _card(shelf_of(world), version)
    return json_answer(ModelCard(version, shelf_of(world).champion() == version, dict(card)), headers=PRIVATE)


async def _card(shelf: ModelShelf, version: str) -> Mapping[str, Any]:
    try:
        return await asyncio.to_thread(shelf.card, version)
    except (ModelError, ValueError) as error:
        raise Problem(404, "unknown_model", "no model of that version is stored; GET /v1/models lists them") from error


@router.post(
    "/{version}/promote",
    summary="Let a model serve, if it is better",
    response_class=Response,
    responses={200: answer(Promoted, "The gate agreed; it serves now"), **problems(404, 409)},
)
async def promote(version: Named, _key: Editor, world: WorldNow) -> Response:
    """Judge it against the champion on logged decisions. 409 with the numbers where it is not surely better."""
    await _card(shelf_of(world), version)
    try:
        found = await world.promote(version, False)
    except ModelError as error:
        raise Problem(409, "cannot_judge", str(error)) from error
    told = Promoted(version, bool(found["promoted"]), found["code"], found["text"], dict(found.get("numbers") or {}))
    if not told.promoted:
        raise Problem(409, told.code, told.text, [told.numbers])
    world.live_model.refresh()
    return json_answer(told)


@router.post(
    "/rollback",
    summary="Serve again what served before",
    response_class=Response,
    responses={200: answer(RolledBack, "What serves now"), **problems(409)},
)
async def roll_back(_key: Editor, world: WorldNow) -> Response:
    """Undo the latest promotion."""
    try:
        before = await asyncio.to_thread(shelf_of(world).rollback, world.clock())
    except ModelError as error:
        raise Problem(409, "nothing_before", str(error)) from error
    world.live_model.refresh()
    return json_answer(RolledBack(before))
