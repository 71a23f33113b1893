"""Promised approaches inside one process, counted as the Redis script counts them. Keeps nothing when the process
ends."""

from collections.abc import Mapping, Sequence

from engine.ports import PersonView
from engine.profile import Contact
from engine.reservation import Claim, Reserved, Taking, alike


class MemoryReservations:
    """`engine.ports.Reservations`."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, tuple[int, Contact]]] = {}

    async def promised(self, views: Sequence[PersonView], at: int) -> list[Reserved]:
        return [self._reserved(view, at) for view in views]

    def _reserved(self, view: PersonView, at: int) -> Reserved:
        elsewhere = tuple(c for i in view.members if i != view.profile_id for c in self._open(i, at))
        return Reserved(self._open(view.profile_id, at), elsewhere)

    def _open(self, identity: str, at: int) -> tuple[Contact, ...]:
        return tuple(contact for expires, contact in self._held.get(identity, {}).values() if expires > at)

    async def take(self, wanted: Sequence[Taking]) -> list[bool]:
        return [self._one(taking) for taking in wanted]

    async def release(self, promises: Mapping[str, Sequence[str]]) -> None:
        for identity, tokens in promises.items():
            for token in tokens:
                self._held.get(identity, {}).pop(token, None)

    def _one(self, taking: Taking) -> bool:
        held = [c for c in self._open(taking.profile_id, taking.at) if c.message_id not in taking.made]
        for claim in taking.claims:
            if not _fits(claim, held):
                return False
            held.append(claim.contact)
        own = self._held.setdefault(taking.profile_id, {})
        own.update({c.contact.message_id: (taking.at + taking.lasting, c.contact) for c in taking.claims})
        return True


def _fits(claim: Claim, held: Sequence[Contact]) -> bool:
    return all(
        sum(1 for c in held if c.at > claim.contact.at - cap.window and alike(cap.kind, c, claim.contact)) < cap.room
        for cap in claim.caps
    )
