"""The station that keeps identity: one writer turns link claims into verdicts, persons and the index. Loads, calls
`engine.identity`, stores; knows no rule about who belongs together."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from engine.erasure import ERASED, Forgotten, Links, concerned, deciding, erase_event, learn_all, named_by
from engine.events import Event
from engine.identifiers import IdentityRules
from engine.identity import Claim, Edge, Edges, Person, components, grouped, pair
from engine.records import Position
from engine.signals import DAY
from infra.clock import now_ms
from infra.link_record import LinkRecord
from infra.redis_store import Runs
from infra.redis_store_links import LinkCommit, LinkMark, LinkStore
from infra.redis_store_stream import PartitionStore
from infra.stream.republish import LOOKS_BACK
from infra.stream.shell import Fatal, persist

DERIVED_TOGETHER = 1_000
_RECORD = msgspec.msgpack.Decoder(LinkRecord)


class Around(msgspec.Struct, frozen=True):
    """The world as the station uses it."""

    links: LinkStore
    partitions: PartitionStore
    rules: IdentityRules
    notify: Callable[[Sequence[str]], Awaitable[None]]
    append: Callable[[Sequence[Event]], Awaitable[None]]
    lateness_ms: int = 30 * DAY
    clock: Callable[[], int] = now_ms
    spread: Callable[[Sequence[Sequence[str]]], Awaitable[None]] | None = None
    runs: Runs = msgspec.field(default_factory=Runs)


class Relation:
    """The links topic's one partition, in order; Redis holds the truth and the watermark."""

    def __init__(self, incarnation: int, around: Around) -> None:
        self._incarnation = incarnation
        self._around = around
        self._mark: LinkMark | None = None
        self._marks: dict[int, Position] = {}
        self._met: set[str] = set()
        self._lately: deque[set[str]] = deque([set()], maxlen=LOOKS_BACK + 1)
        self._turned = 0.0
        self._alone = asyncio.Lock()

    async def resume(self) -> LinkMark:
        """Learn where identity stands, and do once more what follows from its last record: it may have been lost."""
        links = self._around.links
        self._met = set(self._around.runs.seen)
        self._marks = await persist(links.marks)
        self._mark = await persist(links.mark)
        claims = await persist(links.last)
        held = concerned((await self._known(claims))[1], claims)
        await self._derive(_near(_ids(claims), held), self._mark.version, None)
        await self._erase(held, {})
        await self._trim(self._marks)
        return self._mark

    async def take(self, offset: int, raw: bytes) -> None:
        """Record the claims of one record, unless it was recorded before."""
        async with self._alone:
            await self._take(offset, raw)

    async def _take(self, offset: int, raw: bytes) -> None:
        mark = await self._anew(self._mark) if self._mark is not None else await self.resume()
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
        # what a rebuild sends again is derived by the rules of today, so nobody knows who everybody was before
        claims = [*(claim for _, some in fresh for claim in some), *record.again]
        before, held = await self._known(claims)
        edges = {pair(edge): edge for some in before.values() for edge in some}
        known = Links(edges, held)
        # following an erasure again for each of many claims takes seconds, and the worker has to give signs of life
        if held or any(claim.verdict == ERASED for claim in claims):
            links_after = await asyncio.to_thread(learn_all, known, claims, self._around.rules)
        else:
            links_after = learn_all(known, claims, self._around.rules)
        reached = {job: one for job, one in links_after.forgotten.items() if held.get(job) != one}
        groups = grouped(links_after.edges)
        members = {i: g for g, some in groups.items() for e in some for i in (e.left, e.right)}
        marks = {at.partition: at for at, _ in fresh}
        after = LinkMark(position, mark.version + 1)
        change = LinkCommit(
            before=mark,
            after=after,
            groups=groups,
            members=members,
            gone=sorted(before.keys() - groups.keys()),
            marks=marks,
            raw=msgspec.msgpack.encode(tuple(claims)),
            applied=self._around.clock(),
            released=sorted({end for key in edges for end in key} - members.keys()),
            forgotten=reached,
            reached=_reached(reached, links_after),
        )
        if not await persist(links.commit, change) and await persist(links.mark) != after:
            raise Fatal("links: another worker moved it on; leaving it to that one")
        self._mark = after
        self._marks |= marks
        await persist(links.note_conflicts, dict.fromkeys(change.gone, ()))
        old = None if record.again else _persons(edges, self._around.rules)
        near = _near(_ids(claims), reached)
        self._turn()
        self._lately[-1].update(near)
        await self._derive(near, after.version, old)
        # only now: what is derived from an emptied fragment must be newer than what was derived from the whole person
        await self._erase(reached, held)
        await self._trim({at.partition for at, _ in record.entries})

    async def _known(self, claims: Sequence[Claim]) -> tuple[Mapping[str, Sequence[Edge]], dict[str, Forgotten]]:
        """The groups that claims touch and the erasures near any of them; and, where whom one of these reaches may
        change, also the groups of everybody it was linked to: they decide who belonged to whom."""
        links, jobs = self._around.links, {claim.reason for claim in claims if claim.verdict == ERASED}
        groups: dict[str, Sequence[Edge]] = {}
        held: dict[str, Forgotten] = {}
        looked: set[str] = set()
        wanted = {*_ids(claims)}
        while wanted:
            groups |= await persist(links.groups_of, sorted(wanted))
            around = wanted | {end for edges in groups.values() for edge in edges for end in pair(edge)}
            held |= await persist(links.erasures.touching, sorted(around - looked), jobs - held.keys())
            looked |= around
            wanted = deciding(held, claims) - looked
        return groups, held

    async def _erase(self, reached: Mapping[str, Forgotten], before: Mapping[str, Forgotten]) -> None:
        """Send an erase record to the partition of everybody newly reached; a second one changes nothing there."""
        await persist(self._around.links.erasures.note, list(reached.values()), self._around.lateness_ms)
        for job, one in reached.items():
            known = before[job].members if job in before else {}
            fresh = [erase_event(member, job, one.at) for member in sorted(one.members.keys() - known.keys())]
            if fresh:
                await persist(self._around.append, fresh)

    async def check(self) -> None:
        """Once a second. Raises `Fatal` where Redis forgot what it had acknowledged: a new life reads it from the log
        again."""
        mark = self._mark
        # a record that is being recorded meets the same at its own write
        if mark is None or self._alone.locked():
            return
        async with self._alone:
            await persist(self._around.runs.ask)
            if (await persist(self._around.links.mark)).position < mark.position:
                raise Fatal("links: Redis forgot what it had taken; going back to where it stands")
            await self._anew(mark)
            self._turn()

    async def _anew(self, mark: LinkMark) -> LinkMark:
        """Where Redis began anew and forgot no record, what follows from the last ones may be missing: once more."""
        if self._around.runs.seen <= self._met:
            return mark
        mark = await self.resume()
        lately = sorted(set().union(*self._lately))
        for start in range(0, len(lately), DERIVED_TOGETHER):
            await self._derive(lately[start : start + DERIVED_TOGETHER], mark.version, None)
        return mark

    def _turn(self) -> None:
        """Keep by the second whom records were about lately: of the last seconds only."""
        now = time.monotonic()
        if now - self._turned >= 1.0:
            self._turned = now
            self._lately.append(set())

    def _new(self, at: Position) -> bool:
        return at.partition not in self._marks

    async def _derive(self, ids: Sequence[str], version: int, old: Mapping[str, Person] | None) -> None:
        """Index, conflicts and notices for every group these ids are in; safe to do again.

        `old` is who everybody was before; None when that is not known any more: then everybody is told.
        """
        links = self._around.links
        groups = await persist(links.groups_of, ids)
        grouped_ids = {end for edges in groups.values() for edge in edges for end in pair(edge)}
        alone = [Person((identity,)) for identity in ids if identity not in grouped_ids]
        await persist(links.publish, alone, version)
        await persist(self._around.notify, _changed(alone, old))
        for group, edges in groups.items():
            persons, conflicts = components({pair(edge): edge for edge in edges}, self._around.rules)
            await persist(links.publish, persons, version)
            if self._around.spread is not None:
                # after the index: whoever refuses meanwhile sees the person as it is now, or is seen here
                await persist(self._around.spread, [person.members for person in persons if len(person.members) > 1])
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


def _near(ids: Iterable[str], reached: Mapping[str, Forgotten]) -> list[str]:
    """These ids, and everybody whom an erasure reached or took a link from."""
    return sorted({*ids}.union(*map(named_by, reached.values())))


def _reached(reached: Mapping[str, Forgotten], links: Links) -> dict[str, str]:
    """For every id in these erasures the one that reached it last."""
    found = {member: links.erasure_of(member) for one in reached.values() for member in one.members}
    return {member: one.job for member, one in found.items() if one is not None}


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
