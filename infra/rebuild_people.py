"""Who belongs together, told again from every claim that was recorded and held against the index that readers use.
The rule is `engine.identity`'s; nothing here knows one."""

import asyncio
import hashlib
from collections.abc import Iterable

import msgspec

from engine.identity import Claim, Person
from engine.replay import members_of, relate_again, together
from infra.archive_homes import claims_of
from infra.rebuild import LISTED, Around

# the index follows a recorded link within moments
LOOKS, PAUSE_S = 4, 0.25


class PeopleFound(msgspec.Struct, frozen=True):
    """The digest of all persons of more than one identifier, told again and as the index has them, and the first ids
    that are in another company there."""

    claims: int
    persons: int
    rebuilt: str
    live: str
    differing: int
    different: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return self.rebuilt == self.live and not self.differing


class Related(msgspec.Struct, frozen=True):
    """Every claim in the order it was recorded, and the persons that follow by the rules of today."""

    claims: list[Claim]
    persons: dict[str, Person]

    def companies(self) -> set[tuple[str, ...]]:
        return {person.members for person in self.persons.values() if len(person.members) > 1}


async def related(around: Around) -> Related:
    """All claims, archived and waiting; held in memory at once, some 600 bytes each."""
    waiting = await around.store.link_tail()
    claims = await asyncio.to_thread(claims_of, around.archive, None, waiting)
    return Related(claims, relate_again(claims, around.rules.identity))


async def compare_people(around: Around) -> tuple[PeopleFound, list[Claim]]:
    """What was found, and the claims of every group that somebody of another company is in."""
    told, live, odd = await _look(around)
    for _ in range(LOOKS):
        if not odd:
            break
        await asyncio.sleep(PAUSE_S)
        told, live, odd = await _look(around)
    found = PeopleFound(
        claims=len(told.claims),
        persons=len(told.companies()),
        rebuilt=_digest(told.companies()),
        live=_digest({members for members in live.values() if len(members) > 1}),
        differing=len(odd),
        different=tuple(odd[:LISTED]),
    )
    concerned = set(odd)
    groups = [g for g in together(told.claims) if any(c.left in concerned or c.right in concerned for c in g)]
    return found, [claim for group in groups for claim in group]


async def _look(around: Around) -> tuple[Related, dict[str, tuple[str, ...]], list[str]]:
    told = await related(around)
    live = await around.store.index()
    known = told.persons.keys() | live.keys()
    return told, live, sorted(i for i in known if members_of(told.persons, i) != live.get(i, (i,)))


def _digest(companies: Iterable[tuple[str, ...]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for members in sorted(companies):
        digest.update(" ".join(members).encode() + b"\n")
    return digest.hexdigest()
