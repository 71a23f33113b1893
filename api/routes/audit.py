"""The audit of reads over HTTP: which key read what about whom. For auditors; asking is all that can be done here."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from api.answers import iso
from api.deps import WorldNow, require
from api.documents import answer, problems
from api.representation import PRIVATE, json_answer
from api.schemas_audit import ReadPage, ReadSeen
from api.serving import reference
from engine.audit import Read, Sought
from engine.ports import ApiKey

router = APIRouter(prefix="/v1/audit", tags=["access"])
Auditor = Annotated[ApiKey, Depends(require("auditor"))]
Whom = Annotated[
    str | None,
    Query(max_length=512, description="Reads of this person only, `type:value`", examples=["profile_id:" + "a" * 16]),
]


class Page(msgspec.Struct, frozen=True):
    """Which page of lines: those before a number (0: the newest), so many."""

    before: int
    limit: int


def page(
    before: Annotated[int, Query(ge=0, le=2**53, description="`next` of the previous page; 0: the newest")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page:
    return Page(before, limit)


Paged = Annotated[Page, Depends(page)]


@router.get(
    "",
    summary="Who read what about whom",
    response_class=Response,
    responses={200: answer(ReadPage, "A page of reads, the newest first"), **problems()},
)
async def read_audit(
    _key: Auditor,
    world: WorldNow,
    wanted: Paged,
    profile: Whom = None,
    who: Annotated[str, Query(max_length=100, description="Reads by the key of this name only")] = "",
) -> Response:
    """One line per read of a profile, a timeline, an export or a decision. A line names the profile id of its moment;
    `profile` finds every line about the person, whatever id they had."""
    whom = (await world.people.person(reference(world, profile).id)).members if profile else ()
    found = await world.reads.sought(Sought(whom, who, wanted.before, wanted.limit))
    following = found[-1][0] if len(found) == wanted.limit else None
    return json_answer(ReadPage([_seen(read) for _, read in found], following), headers=PRIVATE)


def _seen(read: Read) -> ReadSeen:
    return ReadSeen(iso(read.at), read.who, read.role, read.what, list(read.purposes), read.profile_id)
