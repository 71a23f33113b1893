"""Notes each read of a person's data by whoever holds a key. Called where data leaves; knows no route and no store."""

from api.answers import purposes_of
from api.deps import World
from engine.audit import DECISION, Read
from engine.ports import ApiKey, PersonView
from engine.records import DecisionRecord

AGENT = "agent"


def noted(world: World, key: ApiKey, what: str, profile_id: str) -> None:
    """One line of the audit: this key reads this of that person, for its purposes, now."""
    purposes = purposes_of(key, world.now.purposes)
    world.reads.note(Read(world.clock(), key.name, key.role, what, purposes, profile_id))


def noted_if_kept(world: World, key: ApiKey, what: str, view: PersonView) -> None:
    """The same where consent alone is read: nothing is kept about somebody who is neither known nor ever said
    anything."""
    if view.known or view.held:
        noted(world, key, what, view.profile_id)


def noted_if_about_somebody(world: World, key: ApiKey, record: DecisionRecord) -> None:
    """A decision shown as it is made. One that was made from context alone, about nobody known, reads nobody."""
    if record.positions:
        noted(world, key, DECISION, record.profile_id)


def ready_for(world: World, key: ApiKey, credential: str) -> None:
    """Before a decision that a person asks for: it is logged and counts when it is made, so it is not made where it
    could not be noted. Raises `Unavailable`."""
    if asks_in_person(key, credential):
        world.reads.ready()


def asks_in_person(key: ApiKey, credential: str) -> bool:
    """Whether a person asks rather than a machine: an agent, or whoever is signed in at a page (no `credential`)."""
    return key.role == AGENT or not credential
