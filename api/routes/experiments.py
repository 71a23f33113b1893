"""Experiments over HTTP: what is being tried and what it found. Changes nothing: a plan is a file."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from api.deps import WorldNow, require
from api.documents import answer, problems
from api.errors import Problem
from api.experiments_view import experiment_now, experiments_now
from api.representation import PRIVATE, json_answer
from api.schemas_experiments import ExperimentList, ExperimentNow
from engine.ports import ApiKey

router = APIRouter(prefix="/v1/experiments", tags=["experiments"])
Reader = Annotated[ApiKey, Depends(require("engineer", "marketer", "auditor", "admin"))]


@router.get(
    "",
    summary="What is being tried and what it found",
    response_class=Response,
    responses={200: answer(ExperimentList, "The control group, if there is one, then every experiment"), **problems()},
)
async def list_experiments(_key: Reader, world: WorldNow) -> Response:
    """Every arm with its people and its effect. Intervals hold however often they are looked at."""
    return json_answer(await asyncio.to_thread(experiments_now, world), headers=PRIVATE)


@router.get(
    "/{experiment}",
    summary="One experiment",
    response_class=Response,
    responses={200: answer(ExperimentNow, "The experiment"), **problems(404)},
)
async def read_experiment(
    experiment: Annotated[str, Path(max_length=64, examples=["desk_layout"])], _key: Reader, world: WorldNow
) -> Response:
    """One experiment, or `control`: the engine against the control group."""
    found = await asyncio.to_thread(experiment_now, world, experiment)
    if found is None:
        raise Problem(404, "unknown_experiment", "nothing of this name is being tried; GET /v1/experiments lists all")
    return json_answer(found, headers=PRIVATE)
