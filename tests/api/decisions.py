"""A decision made and logged in a world in memory, as the decision route does it."""

from engine.decision_id import decision_id
from engine.records import DecisionRecord, decision_event
from models.serving import Ask, Setting, decide
from tests.api.world import Rig


async def recorded_decision(rig: Rig, reference: str = "user_id:u-1") -> DecisionRecord:
    """A decision for the referenced person at the agent's desk, in the log."""
    current = rig.world.now
    view = await rig.world.people.person(rig.id_of(reference))
    named = decision_id(view.profile_id, rig.clock(), b"0123456789")
    setting = Setting(current.catalogue, current.purposes, rig.world.live_model.current(), {})
    record = decide(Ask(view, "agent_desktop", {}, named, rig.clock()), setting)
    await rig.log.append_now(decision_event(record))
    return record
