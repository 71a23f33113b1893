"""Notes each read of a person's data by whoever holds a key. Called where data leaves; knows no route and no store."""

from api.answers import purposes_of
from api.deps import World
from engine.audit import DECISION, DESK, EVENTS, EXPORT, HISTORY, LINK, PROFILE, REPLAY, Read
from engine.ports import ApiKey

__all__ = ["DECISION", "DESK", "EVENTS", "EXPORT", "HISTORY", "LINK", "PROFILE", "REPLAY", "noted"]


def noted(world: World, key: ApiKey, what: str, profile_id: str) -> None:
    """One line of the audit: this key reads this of that person, for its purposes, now."""
    purposes = purposes_of(key, world.now.purposes)
    world.reads.note(Read(world.clock(), key.name, key.role, what, purposes, profile_id))
