"""Profiles of the past, folded again from the archive and what waits for it: the links recorded by then, the events
applied by then. Knows where both are; consent is today's, because a withdrawal reaches back."""

import asyncio
from collections.abc import Callable

from engine.identity import Person
from engine.ports import Identities, People, PersonView, Stored, Unavailable
from engine.records import partition_of
from engine.replay import relate_again
from engine.step import Rules
from infra.archive import ARCHIVE_FAILURES
from infra.archive_homes import Where, claims_of
from infra.rebuild_fold import refolded
from infra.redis_store import FAILURES
from infra.redis_store_replay import ReplayStore


class ArchivedHistory:
    """`engine.ports.History`. `rules` gives those of today: the past is told by them, as a rebuild would."""

    def __init__(
        self, archive: str, ports: tuple[People, Identities], store: ReplayStore, rules: Callable[[], Rules]
    ) -> None:
        self._archive = archive
        self._people, self._identities = ports
        self._store = store
        self._rules = rules

    async def person_at(self, identity: str, at: int) -> PersonView:
        try:
            person, claims = await self._person(identity, at)
            stored = await self._stored(person, at)
        except (*FAILURES, *ARCHIVE_FAILURES) as error:
            raise Unavailable("the archive does not answer; try again in a moment") from error
        views = await self._people.people([identity, *person.members])
        held = {member: said for view in views for member, said in view.held.items()}
        return PersonView(person.profile_id, person.members, claims, stored, held)

    async def _person(self, identity: str, at: int) -> tuple[Person, int]:
        """Links only ever come together in a group, so whoever belonged here then is in the group of today."""
        edges = await self._identities.edges([identity])
        around = {identity}.union(*edges)
        waiting = await self._store.link_tail()
        claims = await asyncio.to_thread(claims_of, self._archive, sorted(around), waiting, at)
        return relate_again(claims, self._rules().identity).get(identity, Person((identity,))), len(claims)

    async def _stored(self, person: Person, at: int) -> tuple[Stored, ...]:
        waiting = await self._store.tails({partition_of(member, self._store.partitions) for member in person.members})
        where = Where(homes=person.members, until=at)
        rows = await asyncio.to_thread(lambda: list(refolded(self._archive, where, waiting, self._rules())))
        found = {home: stored for home, stored, _ in rows if stored is not None}
        return tuple(found[member] for member in person.members if member in found)
