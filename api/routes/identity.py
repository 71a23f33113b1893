"""How people came together, and which links gave way to a rule and want somebody to look. Values of identifiers pass
the consent gate like everything else of a profile."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api.answers import Seen, iso
from api.audit import noted
from api.deps import WorldNow, require
from api.documents import answer, problems
from api.representation import PRIVATE, json_answer
from api.routes.profiles import Reader, Ref, seen_by
from api.schemas_identity import (
    ConflictPage,
    ConflictPair,
    ConflictSeen,
    EffectSeen,
    HistoryPage,
    LinkedEnd,
    VerdictSeen,
)
from engine.audit import HISTORY
from engine.history import Episode, advice, history
from engine.identity import OBSERVED, Conflict
from engine.ports import ApiKey

router = APIRouter(prefix="/v1", tags=["profiles"])
Steward = Annotated[ApiKey, Depends(require("agent", "engineer", "auditor", "admin"))]
Offset = Annotated[int, Query(ge=0, le=1_000_000, examples=[0])]


@router.get(
    "/identity/conflicts",
    summary="Links that gave way to a rule, and what to do about each",
    response_class=Response,
    responses={200: answer(ConflictPage, "A page of conflicts, the latest first"), **problems()},
)
async def read_conflicts(
    _key: Steward,
    world: WorldNow,
    limit: Annotated[int, Query(ge=1, le=500, examples=[20])] = 50,
    offset: Offset = 0,
) -> Response:
    """Names identifiers by type and id, never by value; `GET /v1/profiles/profile_id:<id>` shows who is behind one."""
    found = await world.identities.conflicts()
    page = [_conflict(one) for one in found[offset : offset + limit]]
    return json_answer(ConflictPage(page, len(found), _following(offset, len(page), len(found))), headers=PRIVATE)


def _following(offset: int, shown: int, total: int) -> int | None:
    return offset + shown if shown and offset + shown < total else None


def _conflict(one: Conflict) -> ConflictSeen:
    said = advice(one.rule)
    return ConflictSeen(
        left=LinkedEnd(one.left_type, one.left),
        right=LinkedEnd(one.right_type, one.right),
        rule=one.rule,
        why=said.text,
        what_to_do=said.remedy,
        pair=ConflictPair(f"profile_id:{one.left}", f"profile_id:{one.right}"),
        at=iso(one.at),
        source=one.source,
    )


@router.get(
    "/profiles/{ref:path}/history",
    summary="How a person came together",
    response_class=Response,
    responses={200: answer(HistoryPage, "A page of verdicts, oldest first"), **problems(404)},
)
async def read_history(
    ref: Ref,
    key: Reader,
    world: WorldNow,
    limit: Annotated[int, Query(ge=1, le=100, examples=[20])] = 50,
    offset: Offset = 0,
) -> Response:
    """Every verdict that touches one of the person's identifiers: who said it, why, and what it did when it came."""
    seen = await seen_by(world, key, ref)
    noted(world, key, HISTORY, seen.view.profile_id)
    edges = await world.identities.edges(seen.view.members)
    # a person of a thousand identifiers takes longer than other requests should wait for
    page, total = await asyncio.to_thread(
        history, edges, world.now.identity, frozenset(seen.view.members), slice(offset, offset + limit)
    )
    shown = [_verdict(episode, seen) for episode in page]
    following = _following(offset, len(shown), total)
    return json_answer(HistoryPage(seen.view.profile_id, shown, total, following), headers=PRIVATE)


def _verdict(episode: Episode, seen: Seen) -> VerdictSeen:
    claim, effect = episode.claim, episode.effect
    # a sentence somebody wrote may say anything: it is shown with what serving the customer may see
    readable = claim.reason == OBSERVED or "service" in seen.visible.purposes
    return VerdictSeen(
        at=iso(claim.at),
        left=_end(claim.left_type, claim.left, seen),
        right=_end(claim.right_type, claim.right, seen),
        verdict=claim.verdict,
        source=claim.source,
        reason=claim.reason if readable else None,
        effect=EffectSeen(effect.code, effect.text, effect.rule or None, effect.left_profile, effect.right_profile),
    )


def _end(kind: str, identity: str, seen: Seen) -> LinkedEnd:
    named = seen.visible.identifiers.get(identity)
    return LinkedEnd(kind, identity, named[1] if named else None)
