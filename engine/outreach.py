"""Proactive outreach: when somebody belongs in a queue, how urgent it is and from when they may be approached. Knows
nothing of models (scores come in), of storage or of how a queue is read."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.catalog import Catalogue, ContactPolicy, Queue
from engine.decision import Scored, is_quiet, local_hour
from engine.ports import Entry
from engine.rules import Facts


def urgency_of(queue: Queue, catalogue: Catalogue, facts: Facts) -> float | None:
    """How much this person's turn is pressed forward (1 is ordinary); None for somebody who is not in the queue."""
    belongs, urgency = catalogue.queue_rules[queue.id]
    if not belongs.holds(facts):
        return None
    number = urgency.number(facts)
    return number if number is not None and number > 0.0 else None


def waking_hour(queue: Queue, policy: ContactPolicy, at: int, zone: str) -> int:
    """The local hour contact rules are asked about: now, or the end of quiet hours where it is quiet now."""
    hour = local_hour(at, zone, policy.default_zone)
    return policy.quiet_end if queue.channel in policy.quiet_channels and is_quiet(hour, policy) else hour


def due_at(queue: Queue, policy: ContactPolicy, at: int, zone: str) -> int:
    """From when (ms) the person may be approached on the queue's channel: now, or when quiet hours end."""
    if queue.channel not in policy.quiet_channels or not is_quiet(local_hour(at, zone, policy.default_zone), policy):
        return at
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(_zone(zone, policy.default_zone))
    end = local.replace(hour=policy.quiet_end, minute=0, second=0, microsecond=0)
    return int((end if end > local else end + timedelta(days=1)).timestamp() * 1000)


def _zone(*names: str) -> ZoneInfo:
    for name in names:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


def entry_of(queue: Queue, profile_id: str, scored: Sequence[Scored], urgency: float, times: tuple[int, int]) -> Entry:
    """The person's line: the best action's score times urgency, and why. `times` are now and due (ms)."""
    best = max(scored, key=lambda s: (s.score, s.action_id))
    reasons = [
        {"code": "queue", "text": queue.title},
        {
            "code": "best_action",
            "text": f"{best.action_id}: {best.probability:.0%} likely to be accepted, worth {best.value:g}",
        },
    ]
    if urgency != 1.0:
        reasons.append({"code": "urgency", "text": f"pressed forward by a factor of {urgency:.2g}"})
    return Entry(
        profile_id=profile_id,
        queue=queue.id,
        priority=best.score * urgency,
        channel=queue.channel,
        action_id=best.action_id,
        reasons=tuple(reasons),
        due_at=times[1],
        updated_at=times[0],
    )
