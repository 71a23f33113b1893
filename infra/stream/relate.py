"""The station that keeps identity: one writer turns link claims into verdicts, persons and the index. Loads, calls
`engine.identity`, stores; knows no rule about who belongs together."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from engine.identifiers import IdentityRules
from engine.identity import Claim, Edge, Edges, Person, components, pair, with_claim
from engine.records import Position
from infra.redis_store_links import LinkCommit, LinkMark, LinkStore
from infra.redis_store_stream import PartitionStore
from infra.stream.outbox import LinkRecord
from infra.stream.shell import Fatal, persist

_RECORD = msgspec.msgpack.Decoder(LinkRecord)


class Around(msgspec.Struct, frozen=True):
    """The world as the station uses it."""

    links: LinkStore
    partitions: PartitionStore
    rules: IdentityRules
    notify: Callable[[Sequence[str]], Awaitable[None]]


class Relation:
    """The links topic's one partition, in order; Redis holds the truth and the watermark."""

    def __init__(self, incarnation: int, around: Around) -> None:
        self._incarnation = incarnation
        self._around = around
        self._mark: LinkMark | None = None
        self._marks: dict[int, Position] = {}

    async def resume(self) -> LinkMark:
        """Learn where identity stands, and do once more what follows from its last record: it may have been lost."""
        links = self._around.links
        self._marks = await persist(links.marks)
        self._mark = await persist(links.mark)
        await self._derive(_ids(await persist(links.last)), self._mark.version, None)
        await self._trim(self._marks)
        return self._mark

    async def take(self, offset: int, raw: bytes) -> None:
        """Record the claims of one record, unless it was recorded before."""
        mark = self._mark or await self.resume()
        position = Position(self._incarnation, 0, offset)
        record = _decode(raw)
        if mark.position.incarnation == position.incarnation and offset <= mark.position.offset:
            return
        if position.incarnation < mark.position.incarnation:
            raise Fatal("links: this log is older than the last; is the broker URL right?")
        if mark.position.incarnation == position.incarnation and offset > mark.position.offset + 1:
            raise Fatal(f"links: offset {offset} came after {mark.position.offset}; records are missing")
        await self._record(mark, position, record, raw)

    async def _record(self, mark: LinkMark, position: Position, record: LinkRecord, raw: bytes) -> None:
        links = self._around.links
        fresh = [
            (at, claims) for at, claims in record.entries if self._marks.get(at.partition, at) < at or self._new(at)
        ]
        claims = [claim for _, some in fresh for claim in some]
        before = await persist(links.groups_of, _ids(claims))
        edges: dict[tuple[str, str], Edge] = {pair(edge): edge for some in before.values() for edge in some}
        old = _persons(edges, self._around.rules)
        for claim in claims:
            edges = with_claim(edges, claim)
        groups = grouped(edges)
        marks = {at.partition: at for at, _ in fresh}
        after = LinkMark(position, mark.version + 1)
        change = LinkCommit(
            before=mark,
            after=after,
            groups=groups,
            members={i: g for g, some in groups.items() for e in some for i in (e.left, e.right)},
            gone=sorted(before.keys() - groups.keys()),
            marks=marks,
            raw=msgspec.msgpack.encode(tuple(claims)),
        )
        if not await persist(links.commit, change) and await persist(links.mark) != after:
            raise Fatal("links: another worker moved it on; leaving it to that one")
        self._mark = after
        self._marks |= marks
        await self._derive(_ids(claims), after.version, old)
        await self._trim({at.partition for at, _ in record.entries})

    def _new(self, at: Position) -> bool:
        return at.partition not in self._marks

    async def _derive(self, ids: Sequence[str], version: int, old: Mapping[str, Person] | None) -> None:
        """Index, conflicts and notices for every group these ids are in; safe to do again.

        `old` is who everybody was before; None when that is not known any more: then everybody is told.
        """
        links = self._around.links
        for group, edges in (await persist(links.groups_of, ids)).items():
            persons, conflicts = components({pair(edge): edge for edge in edges}, self._around.rules)
            await persist(links.publish, persons, version)
            await persist(links.note_conflicts, {group: conflicts})
            await persist(self._around.notify, _changed(persons, old))

    async def _trim(self, partitions: Iterable[int]) -> None:
        """Take what is recorded out of the outboxes."""
        for partition in sorted(self._marks.keys() & set(partitions)):
            await persist(self._around.partitions.trim_outbox, self._marks[partition])


def _decode(raw: bytes) -> LinkRecord:
    try:
        return _RECORD.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # whoever wrote this, it holds no verdict; the watermark moves over it
        return LinkRecord(())


def _ids(claims: Iterable[Claim]) -> list[str]:
    return sorted({identity for claim in claims for identity in (claim.left, claim.right)})


def _persons(edges: Edges, rules: IdentityRules) -> dict[str, Person]:
    persons, _ = components(edges, rules)
    return {member: person for person in persons for member in person.members}


def _changed(persons: Iterable[Person], old: Mapping[str, Person] | None) -> list[str]:
    """The profile ids of everybody who gained or lost a member, before and after."""
    if old is None:
        return sorted({member for person in persons for member in person.members})
    found: set[str] = set()
    for person in persons:
        before = {old.get(member, Person((member,))) for member in person.members}
        if before != {person}:
            found |= {person.profile_id, *(one.profile_id for one in before)}
    return sorted(found)


def grouped(edges: Edges) -> dict[str, list[Edge]]:
    """Edge sets by connected group, verdicts of any kind connecting; a group is named after its smallest id."""
    parent: dict[str, str] = {}

    def root(identity: str) -> str:
        while parent.setdefault(identity, identity) != identity:
            parent[identity] = parent[parent[identity]]
            identity = parent[identity]
        return identity

    for left, right in edges:
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    groups: dict[str, list[Edge]] = {}
    for key in sorted(edges):
        groups.setdefault(root(key[0]), []).append(edges[key])
    return groups
