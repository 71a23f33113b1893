"""What the consent ledger holds about one person: the history of their choices, and a receipt of where they stand.
Reads the ledger only; how a choice is made, other routes say."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api.answers import consent_of, iso
from api.audit import noted_if_kept
from api.deps import WorldNow, require
from api.documents import answer, problems
from api.representation import PRIVATE, json_answer
from api.routes.profiles import Ref
from api.schemas_people import ConsentHistory, Said
from api.serving import reference
from engine.audit import CHOICES, RECEIPT
from engine.ports import ApiKey, Proof
from engine.receipt import receipt

router = APIRouter(prefix="/v1/profiles", tags=["consent"])
Reader = Annotated[ApiKey, Depends(require("agent", "preference_center", "auditor", "admin"))]
Before = Annotated[int | None, Query(ge=1, le=2**53, description="Rows before this one: `next` of the last page")]
Limit = Annotated[int, Query(ge=1, le=500)]
LINKED_DATA = "application/ld+json"


@router.get(
    "/{ref:path}/consent/history",
    summary="A person's choices over time",
    response_class=Response,
    responses={200: answer(ConsentHistory, "The ledger's rows, newest first; none for a new reference"), **problems()},
)
async def read_history(ref: Ref, key: Reader, world: WorldNow, before: Before = None, limit: Limit = 100) -> Response:
    """Every statement under any identifier of the person: who, when, how, from which source, on what text."""
    view = await world.people.person(reference(world, ref).id)
    noted_if_kept(world, key, CHOICES, view)
    rows = [row for row in await world.consents.history(view.members) if before is None or row.seq < before]
    page = rows[::-1][:limit]
    after = page[-1].seq if len(page) < len(rows) else None
    return json_answer(ConsentHistory([_said(row) for row in page], after), headers=PRIVATE)


def _said(row: Proof) -> Said:
    change = row.change
    statements = change.statements if change is not None else {}
    return Said(
        seq=row.seq,
        at=iso(row.at) if row.at else None,
        who=row.who,
        how=row.how,
        identifier=row.subject,
        jurisdiction=row.jurisdiction,
        purposes={name: s.status for name, s in sorted(statements.items())},
        sources={name: s.source for name, s in sorted(statements.items())},
        text_versions={name: s.text_version for name, s in sorted(statements.items()) if s.text_version},
        preferences=change.preferences if change is not None else {},
        settings=change.settings if change is not None else {},
        evidence=row.evidence,
        digest=row.digest,
        erased=change is None,
    )


@router.get(
    "/{ref:path}/consent/receipt",
    summary="A consent receipt",
    response_class=Response,
    responses={
        200: {
            "description": "A record in the shape of ISO/IEC TS 27560, JSON-LD with terms of the W3C DPV",
            "content": {LINKED_DATA: {"schema": {"type": "object"}}},
        },
        **problems(),
    },
)
async def read_receipt(ref: Ref, key: Reader, world: WorldNow) -> Response:
    """Header, processing per purpose, parties and every event of consent. Always 200: who never said anything has a
    receipt without events."""
    policy = world.now.purposes
    view = await world.people.person(reference(world, ref).id)
    noted_if_kept(world, key, RECEIPT, view)
    rows = await world.consents.history(view.members)
    consent = consent_of(view, policy, world.clock())
    body = receipt(view.profile_id, consent, policy, rows, iso)
    made = json_answer(body, headers=PRIVATE)
    made.headers["Content-Type"] = LINKED_DATA
    return made
