"""Proactive outreach: when somebody belongs in a queue, and how urgent it is. Knows nothing of models (scores come in),
of quiet hours, of storage or of how a queue is read."""

from collections.abc import Sequence

from engine.catalog import Catalogue, Queue
from engine.decision import Scored
from engine.ports import Entry
from engine.rules import Facts


def urgency_of(queue: Queue, catalogue: Catalogue, facts: Facts) -> float | None:
    """How much this person's turn is pressed forward (1 is ordinary); None for somebody who is not in the queue."""
    belongs, urgency = catalogue.queue_rules[queue.id]
    if not belongs.holds(facts):
        return None
    number = urgency.number(facts)
    return number if number is not None and number > 0.0 else None


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
