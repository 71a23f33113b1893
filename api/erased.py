"""What there is to say about a person, or a decision about one, who was erased since."""

from api.deps import World
from api.errors import Problem
from api.refusal import Refused
from engine.decision_id import decided_at, is_decision_id, profile_of
from engine.ports import PersonView

GONE = Refused("erased", "the person this decision was about was erased; nothing of it is kept")


def erased_at(view: PersonView, identity: str) -> int:
    """Before when (ms) everything under this identifier was erased; 0 where nothing was, or it is long ago."""
    return max((s.fragment.erased for s in view.stored if s.fragment.id == identity), default=0)


async def refuse_erased(world: World, decision_id: str) -> None:
    """Raises a 410 for a decision made before its person was erased."""
    if await is_erased(world, decision_id):
        raise Problem(410, GONE.code, GONE.message)


async def is_erased(world: World, decision_id: str) -> bool:
    """Whether this is a decision made before its person was erased."""
    if not is_decision_id(decision_id):
        return False
    home = profile_of(decision_id)
    return decided_at(decision_id) < erased_at(await world.people.person(home), home)
