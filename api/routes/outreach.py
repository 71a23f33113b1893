"""Outreach queues over HTTP. The stream keeps them; here each entry is held against the person's consent and contact
policy once more before anybody sees it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api.answers import consent_of, iso
from api.audit import noted
from api.deps import World, WorldNow, require
from api.documents import answer, problems
from api.errors import Problem
from api.representation import PRIVATE, json_answer
from api.schemas_people import QueuePage, QueueTask
from engine.audit import OUTREACH
from engine.catalog import Action, Queue
from engine.consent import Consent, reveal
from engine.decision import Blocked, Moments, permitted, rested
from engine.ports import ApiKey, Entry, PersonView
from engine.profile import Profile
from engine.quiet import first_loud, hours_of, located
from engine.wishes import as_wished

router = APIRouter(prefix="/v1/outreach", tags=["outreach"])
Reader = Annotated[ApiKey, Depends(require("agent", "marketer", "engineer", "admin"))]


@router.get(
    "/{queue}",
    summary="Whom to reach out to first",
    response_class=Response,
    responses={200: answer(QueuePage, "A page of the queue, most urgent first"), **problems(404)},
)
async def read_queue(
    queue: Annotated[str, Path(max_length=64, examples=["retention"])],
    key: Reader,
    world: WorldNow,
    limit: Annotated[int, Query(ge=1, le=200, examples=[20])] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000, examples=[0])] = 0,
) -> Response:
    """Entries with their reasons. Left out is who reached a cap since, and where a purpose that the entry rests on was
    closed or a yes to it has expired. Quiet hours, the policy's and the person's own, move `due_at`."""
    wanted = world.now.catalogue.queues.get(queue)
    if wanted is None:
        names = ", ".join(world.now.catalogue.queues) or "none"
        raise Problem(404, "unknown_queue", f"there is no such queue; the catalogue has: {names}")
    entries, total = await world.queues.entries(queue, limit, offset)
    views = await world.people.people([entry.profile_id for entry in entries]) if entries else []
    tasks = [_task(world, wanted, entry, view) for entry, view in zip(entries, views, strict=True)]
    open_ = [task for task in tasks if task is not None]
    for task in open_:
        noted(world, key, OUTREACH, task.profile_id)
    following = offset + len(entries)
    page = QueuePage(
        queue, wanted.title, total, len(tasks) - len(open_), open_, following if following < total and entries else None
    )
    return json_answer(page, headers=PRIVATE)


def _held_back(
    world: World, where: tuple[Queue, Action], profile: Profile, consent: Consent, due: int
) -> Blocked | None:
    """What holds the action back, as of the hour in which the person may be approached."""
    now, (queue, action) = world.now, where
    placement, policy = now.catalogue.placements[queue.placement], now.catalogue.policy
    uses = now.purposes.purposes[action.purpose].uses if action.purpose in now.purposes.purposes else ()
    visible = reveal(profile, consent, {action.purpose, *uses}, now.purposes)
    moments = Moments(world.clock(), hours_of(consent, policy, due))
    return (
        permitted(action, placement, consent)
        or rested(action, placement, visible, policy, moments)
        or as_wished(action, placement, consent, visible.contacts, moments)
    )


def _task(world: World, queue: Queue, entry: Entry, view: PersonView) -> QueueTask | None:
    action, at, profile = world.now.catalogue.actions.get(entry.action_id), world.clock(), view.profile
    consent = located(consent_of(view, world.now.purposes, at), profile)
    due = first_loud(queue.channel, world.now.catalogue.policy, consent, at)
    if action is None or due is None or not all(map(consent.allows, entry.used)):
        return None
    if _held_back(world, (queue, action), profile, consent, due) is not None:
        return None
    return QueueTask(
        task_id=f"{queue.id}.{entry.profile_id}",
        profile_id=view.profile_id,
        queue=queue.id,
        priority=entry.priority,
        channel=entry.channel,
        action_id=entry.action_id,
        reasons=list(entry.reasons),
        due_at=iso(max(entry.due_at, due) if due > at else entry.due_at),
        lease_until=None,
    )
