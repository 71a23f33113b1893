"""The station that folds: one partition's records in order, each applied exactly once by compare-and-set. Decodes,
calls `engine.step.advance`, carries the effects out; knows no rule."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from engine.consent import Purposes
from engine.decision_id import profile_of
from engine.erasure import ERASE
from engine.events import Event
from engine.identity import Claim
from engine.ports import Consents, People, Stored
from engine.profile import Fragment
from engine.records import Position, Record, Unreadable, decode_record
from engine.step import Rules, advance
from infra.redis_store_stream import Batch, PartitionStore, Said
from infra.rejects import Reject
from infra.stream.saying import covering, said_by, take_down
from infra.stream.shell import Fatal, persist

log = logging.getLogger("rapport.advance")
CACHE_SIZE = 5_000
TAIL_SECONDS = 0.2
# of so many events more than this share rejected is no accident: somebody should look before the rest goes the same way
JUDGED_TOGETHER, ABNORMAL = 200, 0.5


class Folder(msgspec.Struct):
    """What a partition's batches are made of while their records are walked through."""

    fragments: dict[str, Stored]
    touched: dict[str, Stored]
    derived: set[str]
    counts: dict[str, int]
    claims: list[Claim]
    said: list[Said]
    decisions: dict[str, bytes]
    rejects: list[Reject]
    wiped: dict[str, int]

    def wipe(self, home: str, count: int) -> None:
        """The home was erased: nothing that this batch would have said of it before is written."""
        self.wiped[home] = max(self.wiped.get(home, 0), min(count, 1))
        self.said = [one for one in self.said if one.home != home]
        self.decisions = {name: raw for name, raw in self.decisions.items() if profile_of(name) != home}


class Outside(msgspec.Struct, frozen=True):
    """The world as the station uses it: stores, and two senders that return when the broker acknowledged."""

    store: PartitionStore
    people: People
    consents: Consents
    rules: Rules
    policy: Callable[[], Purposes]
    clock: Callable[[], int]
    reject: Callable[[Sequence[Reject]], Awaitable[None]]
    notify: Callable[[int, Sequence[str]], Awaitable[None]]
    wake_outbox: Callable[[int], None]
    tail_limit: int = 20_000
    pause_s: float = 30.0


class Partition:
    """One partition's progress in this worker. Redis has the truth; this is a read cache."""

    def __init__(self, number: int, incarnation: int, outside: Outside) -> None:
        self.number = number
        self.incarnation = incarnation
        self._outside = outside
        self._mark: Position | None = None
        self._generation = 0
        self._began = -1
        self._cache: OrderedDict[str, Stored] = OrderedDict()
        self._notices: asyncio.Task[None] | None = None
        self.applied = 0
        self.skipped = 0
        self.refused = 0
        self._judged = self._bad = 0

    async def take(self, offset: int, raw: bytes) -> None:
        """Apply one record, or skip it if it was applied before. Returns only when Redis has it."""
        await self.take_all(((offset, raw),))

    async def take_all(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Apply records that follow each other as one batch; those that were applied before are skipped."""
        mark = self._mark or await self._resume()
        fresh: list[tuple[Position, bytes]] = []
        for offset, raw in records:
            position = Position(self.incarnation, self.number, offset)
            before = fresh[-1][0] if fresh else mark
            if position.incarnation == before.incarnation and offset <= before.offset:
                await self._again(position, mark, raw)
                continue
            self._check(position, before)
            fresh.append((position, raw))
        if fresh:
            await self._apply(mark, fresh)

    async def _resume(self) -> Position:
        """Learn where the partition stands. The last narrowing may be lost; a new log never shows its record again."""
        self._generation = await persist(self._outside.store.generation, self.number)
        self._began = await persist(self._outside.store.batch_began, self.number)
        self._mark = await persist(self._outside.store.watermark, self.number)
        heard = await persist(self._outside.store.heard, self.number)
        if heard:
            await self._effects(heard, ())
        return self._mark

    def _check(self, position: Position, before: Position) -> None:
        if position.incarnation == before.incarnation and position.offset > before.offset + 1:
            came = f"offset {position.offset} came after {before.offset}"
            raise Fatal(f"partition {self.number}: {came}; records are missing")
        if position.incarnation < before.incarnation:
            raise Fatal(f"partition {self.number}: this log is older than the last; is the broker URL right?")

    async def _again(self, position: Position, mark: Position, raw: bytes) -> None:
        """A record applied before changes nothing; the latest batch's effects may have been lost: once more."""
        self.skipped += 1
        await persist(self._outside.store.note_skipped, self.number)
        if position.incarnation == mark.incarnation and self._began <= position.offset <= mark.offset:
            await self._settle_notices()
            self._outside.wake_outbox(self.number)
            await self._effects((), sorted({event.home for event in _events(raw)}))

    async def _apply(self, mark: Position, records: Sequence[tuple[Position, bytes]]) -> None:
        now, applied = self._outside.clock(), self.applied
        work = await self._fold(records, now)
        if work.rejects:
            await persist(self._outside.reject, work.rejects)
        await self._settle_notices()
        batch = Batch(
            before=mark,
            records=records,
            applied=now,
            fragments=work.touched,
            counts=work.counts,
            decisions=work.decisions,
            said=await persist(covering, work.said, self._outside.people),
            claims=work.claims,
            generation=self._generation,
            wiped=work.wiped,
        )
        answer = await persist(self._outside.store.apply, batch)
        heard = answer.heard
        if not answer.taken:
            if answer.found == mark:
                await self._rebuilt(mark, records)
                return
            if answer.found != batch.position:
                self.refused += 1
                self._cache.clear()
                raise Fatal(f"partition {self.number}: another worker moved it on; leaving it to that one")
            # an earlier try of ours landed and its answer was lost
            heard = await persist(self._outside.store.heard, self.number)
        self._mark, self._began = batch.position, records[0][0].offset
        self._keep(work.touched)
        if work.claims:
            self._outside.wake_outbox(self.number)
        await self._effects(heard, sorted(work.derived))
        if answer.tail > self._outside.tail_limit:
            await self._wait_for_archive()
        await self._judge(max(self.applied - applied, len(work.rejects)), len(work.rejects))

    async def _rebuilt(self, mark: Position, records: Sequence[tuple[Position, bytes]]) -> None:
        """A rebuild replaced fragments since they were read: forget them and fold the same records again."""
        self._cache.clear()
        self._generation = await persist(self._outside.store.generation, self.number)
        self.applied -= sum(len(_events(raw)) for _, raw in records)
        await self._apply(mark, records)

    async def _judge(self, events: int, rejects: int) -> None:
        """Pause for a while when most of what came was rejected; readiness says so."""
        self._judged, self._bad = self._judged + events, self._bad + rejects
        if self._judged < JUDGED_TOGETHER:
            return
        abnormal = self._bad > ABNORMAL * self._judged
        self._judged = self._bad = 0
        if abnormal:
            log.warning("partition %d pauses: most of its events are rejected", self.number)
            await persist(self._outside.store.note_paused, self.number, self._outside.pause_s)
            await asyncio.sleep(self._outside.pause_s)

    async def _effects(self, heard: Sequence[Said], homes: Sequence[str]) -> None:
        """What follows a batch and may be done again: consent into the ledger and everywhere it counts, notices."""
        outside, reached = self._outside, list(homes)
        if heard:
            # whoever shares an identifier with the event is told too: theirs may be the only news of it
            reached += await persist(take_down, heard, outside.people, outside.consents, outside.policy())
        self._notices = asyncio.create_task(persist(outside.notify, self.number, list(dict.fromkeys(reached))))

    async def _wait_for_archive(self) -> None:
        log.warning("partition %d waits: %d applied records are not archived", self.number, self._outside.tail_limit)
        length = self._outside.tail_limit
        while length > self._outside.tail_limit // 2:
            await asyncio.sleep(TAIL_SECONDS)
            length = await persist(self._outside.store.tail_length, self.number)

    async def _fold(self, records: Sequence[tuple[Position, bytes]], now: int) -> Folder:
        work = Folder({}, {}, set(), {}, [], [], {}, [], {})
        read = [(position, _read(position, raw, work)) for position, raw in records]
        homes = list(dict.fromkeys(event.home for _, events in read for event in events))
        unknown = [home for home in homes if home not in self._cache]
        work.fragments = {home: self._cache[home] for home in homes if home in self._cache}
        work.fragments |= await persist(self._outside.store.load, self.number, unknown)
        for position, events in read:
            for index, event in enumerate(events):
                self._step(work, event, (position, now), index)
            self.applied += len(events)
        return work

    def _step(self, work: Folder, event: Event, applied: tuple[Position, int], index: int) -> None:
        stored = work.fragments.get(event.home)
        before = stored.fragment if stored is not None else Fragment(event.home)
        try:
            step = advance(before, event, self._outside.rules)
        # whatever a pure function raises, this one event is the reason: it alone is rejected and the stream goes on
        except Exception as error:  # noqa: BLE001
            raw, sentence = msgspec.msgpack.encode(event), "the event cannot be folded"
            work.rejects.append(Reject(applied[0], index, type(error).__name__, sentence, raw))
            return
        if not step.changed:
            work.claims += step.claims
            return
        after = Stored(*applied, step.fragment, stored.rebuilt if stored is not None else 0)
        work.fragments[event.home] = work.touched[event.home] = after
        if step.derived:
            work.derived.add(event.home)
        if event.kind == ERASE:
            work.wipe(event.home, before.state.count)
        work.claims += step.claims
        for name, count in step.counts:
            work.counts[name] = work.counts.get(name, 0) + count
        work.said += said_by(event)
        if event.kind == "decision" and isinstance(event.properties.get("record"), bytes):
            work.decisions[event.message_id] = event.properties["record"]

    def _keep(self, touched: dict[str, Stored]) -> None:
        for home, stored in touched.items():
            self._cache[home] = stored
            self._cache.move_to_end(home)
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)

    async def _settle_notices(self) -> None:
        if self._notices is not None:
            # who waits may be told to stop waiting; what is said is said all the same
            await asyncio.shield(self._notices)
            self._notices = None

    async def settle(self) -> None:
        await self._settle_notices()

    async def check(self) -> None:
        """Raises `Fatal` where Redis forgot what it had acknowledged (it lost its last second). The next write would be
        refused, but nothing may come for hours; a new life reads what is missing from the log."""
        mark = self._mark
        if mark is not None and await persist(self._outside.store.watermark, self.number) < mark:
            raise Fatal(f"partition {self.number}: Redis forgot what it had taken; going back to where it stands")


def _read(position: Position, raw: bytes, work: Folder) -> Sequence[Event]:
    try:
        return decode_record(raw).events
    except Unreadable as error:
        work.rejects.append(Reject(position, -1, "unreadable", str(error), raw))
        return ()


def _events(raw: bytes) -> Sequence[Event]:
    try:
        record: Record = decode_record(raw)
    except Unreadable:
        return ()
    return record.events
