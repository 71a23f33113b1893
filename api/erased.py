"""What there is to say about a decision whose person was erased since."""

from api.deps import World
from api.errors import Problem
from engine.decision_id import decided_at, is_decision_id, profile_of


async def refuse_erased(world: World, decision_id: str) -> None:
    """Raises a 410 for a decision made before its person was erased."""
    if not is_decision_id(decision_id):
        return
    home = profile_of(decision_id)
    view = await world.people.person(home)
    erased = max((s.fragment.erased for s in view.stored if s.fragment.id == home), default=0)
    if decided_at(decision_id) < erased:
        raise Problem(410, "erased", "the person this decision was about was erased; nothing of it is kept")
