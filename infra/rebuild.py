"""Rebuild: the archive and the tails folded again and held against what Redis serves, fragment by fragment while the
stream goes on, and on demand put in its place. Decides what is different; the fold is `rebuild_fold`'s."""

import hashlib
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from engine.ports import Stored
from engine.records import Position, partition_of
from engine.step import Rules
from infra.archive import held_upto
from infra.archive_homes import Where, rows_in
from infra.fragment_bytes import pack, plain, unpack
from infra.rebuild_fold import HOMES_TOGETHER, ROWS_PER_SLICE, Refolded, alongside, blocks, refolded, slices
from infra.redis_store_replay import ReplayStore, Swap

# how often somebody who is changed while being looked at is looked at again
LOOKS = 20
LISTED = 20
# whatever stood there, it is not what the archive folds to
DAMAGED = (msgspec.MsgspecError, UnicodeDecodeError)
_ENCODER = msgspec.msgpack.Encoder()
Progress = Callable[[int, int], None]
Told = Callable[[int, Sequence[str]], Awaitable[None]]


class ArchiveLacks(Exception):
    """Archive and tail together are not everything that was applied: nothing can be rebuilt from them."""


class Around(msgspec.Struct, frozen=True):
    """What a replay reads and by which rules it folds; `total` is the installation's number of partitions. How
    many rows are read and how many homes are compared at once bound its memory. `renewing` replaces what is equal too:
    what is derived from it has become another, and is derived again only from a newer one."""

    archive: str
    store: ReplayStore
    rules: Rules
    partitions: tuple[int, ...]
    total: int
    rows_per_slice: int = ROWS_PER_SLICE
    homes_together: int = HOMES_TOGETHER
    renewing: bool = False

    def where(self, low: str, high: str) -> Where:
        return Where(low, high, partitions=None if len(self.partitions) == self.total else self.partitions)


class PartitionFound(msgspec.Struct, frozen=True):
    """One partition: where it stood, the digest of what the archive folds to and of what Redis serves, each over (id,
    stored fragment) in the order of ids. `different` lists the first ids whose fragments differ, `unsettled` those
    that changed at every look."""

    partition: int
    watermark: str
    events: int
    fragments: int
    rebuilt: str
    live: str
    differing: int
    different: tuple[str, ...]
    replaced: int
    unsettled: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return self.rebuilt == self.live and not self.differing and not self.unsettled


class _Tally:
    """One partition's figures while its homes go by in order."""

    def __init__(self) -> None:
        self.events = self.fragments = self.differing = self.replaced = 0
        self.rebuilt, self.live = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
        self.different: list[str] = []
        self.unsettled: list[str] = []

    def note(self, home: str, rebuilt: bytes, live: bytes) -> None:
        self.fragments += bool(rebuilt)
        for digest, stored in ((self.rebuilt, rebuilt), (self.live, live)):
            if stored:
                digest.update(home.encode() + stored)
        if rebuilt != live:
            self.differing += 1
            if len(self.different) < LISTED:
                self.different.append(home)

    def found(self, mark: Position) -> PartitionFound:
        return PartitionFound(
            partition=mark.partition,
            watermark=f"{mark.incarnation}-{mark.offset}",
            events=self.events,
            fragments=self.fragments,
            rebuilt=self.rebuilt.hexdigest(),
            live=self.live.hexdigest(),
            differing=self.differing,
            different=tuple(self.different),
            replaced=self.replaced,
            unsettled=tuple(self.unsettled[:LISTED]),
        )


class Comparison:
    """A replay held against the live fragments. With `told`, whatever differs is replaced by what the archive folds to
    and its people are told of; a fragment that only Redis has is reported and never removed."""

    def __init__(self, around: Around, told: Told | None = None) -> None:
        self._around = around
        self._told = told
        self._tallies = {partition: _Tally() for partition in around.partitions}
        self._marks: dict[int, Position] = {}

    async def run(self, progress: Progress) -> list[PartitionFound]:
        """Everything, in slices of homes; `progress` is told (events done, events in all). Raises `ArchiveLacks`."""
        around, done = self._around, 0
        first = self._marks = await around.store.marks(around.partitions)
        await complete(around, first)
        homes = await around.store.homes(around.partitions)
        total = rows_in(around.archive, around.where("", ""))
        for low, high in slices(total, around.rows_per_slice):
            # in this order: what a fragment shows by then is in what is read next
            self._marks = await around.store.marks(around.partitions)
            waiting = await around.store.tails(around.partitions)
            rows = refolded(around.archive, around.where(low, high), waiting, around.rules)
            for block in blocks(alongside(rows, _between(homes, low, high)), around.homes_together):
                await self._take(block)
                done += sum(events for _, _, events in block)
                progress(done, max(total, done))
        return [self._tallies[partition].found(first[partition]) for partition in around.partitions]

    async def _take(self, block: Sequence[Refolded]) -> None:
        held = await self._around.store.fragments([home for home, _, _ in block])
        fresh = {home: bytes_of(stored) for home, stored, _ in block}
        odd = [home for home in fresh if self._is_odd(home, fresh, held)]
        moving = [home for home in odd if self._is_ahead(home, held.get(home))]
        moving += await self._mend([home for home in odd if home not in set(moving)], fresh, held)
        await self._settle(moving, fresh, held)
        looked_at = set(odd)
        for home, _, events in block:
            tally = self._tallies[self._partition(home)]
            tally.events += events
            tally.note(home, fresh[home], as_rebuilt(fresh[home], held.get(home)) if home in looked_at else fresh[home])

    def _partition(self, home: str) -> int:
        return partition_of(home, self._around.total)

    def _is_ahead(self, home: str, raw: bytes | None) -> bool:
        """Whether the live fragment may show more than was read: it changed after the reading began."""
        stored = _read(raw)
        return stored is not None and stored.position > self._marks[self._partition(home)]

    def _is_odd(self, home: str, fresh: dict[str, bytes], held: dict[str, bytes]) -> bool:
        rebuilt = fresh[home]
        return (self._around.renewing and bool(rebuilt)) or rebuilt != as_rebuilt(rebuilt, held.get(home))

    async def _settle(self, moving: list[str], fresh: dict[str, bytes], held: dict[str, bytes]) -> None:
        """Look again at who changed meanwhile, until the fragment is the same before and after its events are read."""
        around = self._around
        for _ in range(LOOKS):
            if not moving:
                return
            before = await around.store.fragments(moving)
            waiting = await around.store.tails({self._partition(home) for home in moving})
            again = refolded(around.archive, Where(homes=tuple(moving)), waiting, around.rules)
            fresh.update(dict.fromkeys(moving, b"") | {home: bytes_of(stored) for home, stored, _ in again})
            after = await around.store.fragments(moving)
            for home in moving:
                held.pop(home, None)
            held.update(after)
            still = [home for home in moving if before.get(home) != after.get(home)]
            odd = [home for home in set(moving) - set(still) if self._is_odd(home, fresh, held)]
            moving = still + await self._mend(odd, fresh, held)
        for home in moving:
            self._tallies[self._partition(home)].unsettled.append(home)

    async def _mend(self, odd: list[str], fresh: dict[str, bytes], held: dict[str, bytes]) -> list[str]:
        """Replace what differs; returns who was changed by somebody else before it could be."""
        if self._told is None:
            return []
        late: list[str] = []
        groups: dict[int, list[Swap]] = {}
        for home in odd:
            if fresh[home]:
                swap = Swap(home, held.get(home), rebuilt_again(unpack(fresh[home]), held.get(home)))
                groups.setdefault(self._partition(home), []).append(swap)
        for partition, swaps in groups.items():
            done = set(await self._around.store.replace(partition, swaps))
            held.update({swap.home: pack(swap.rebuilt) for swap in swaps if swap.home in done})
            late += [swap.home for swap in swaps if swap.home not in done]
            self._tallies[partition].replaced += len(done)
            await self._told(partition, sorted(done))
        return late


async def complete(around: Around, marks: dict[int, Position]) -> None:
    """Refuses where the archive ends before the tail begins, or before the watermark where nothing waits."""
    waiting = await around.store.tails(around.partitions)
    held = held_upto(around.archive)
    oldest: dict[int, Position] = {}
    for entry in waiting:
        oldest.setdefault(entry.position.partition, entry.position)
    for partition, mark in marks.items():
        first = oldest.get(partition)
        if first is None:
            lacks = held(mark.incarnation, partition) < mark.offset
        else:
            lacks = held(first.incarnation, partition) < first.offset - 1
        if lacks:
            stands = f"partition {partition} stands at {mark.incarnation}-{mark.offset}"
            raise ArchiveLacks(f"{stands}, and the archive does not reach it; is RAPPORT_ARCHIVE_URL right?")


def rebuilt_again(stored: Stored, held: bytes | None) -> Stored:
    """It counts once more than what it replaces, from which others may have derived something."""
    before = _read(held)
    return msgspec.structs.replace(stored, rebuilt=before.rebuilt + 1 if before is not None else 1)


def _read(raw: bytes | None) -> Stored | None:
    try:
        return None if raw is None else unpack(raw)
    except DAMAGED:
        return None


def bytes_of(stored: Stored | None) -> bytes:
    """What fragments are compared by; nothing where there is none."""
    return b"" if stored is None else _ENCODER.encode(stored)


def as_rebuilt(rebuilt: bytes, raw: bytes | None) -> bytes:
    """A live fragment as a replay would have written it: how often it was rebuilt is not the archive's to know, and a
    field may have been added since it was written."""
    if raw is None:
        return b""
    try:
        if plain(raw) == rebuilt:
            return rebuilt
        return _ENCODER.encode(msgspec.structs.replace(unpack(raw), rebuilt=0))
    except DAMAGED:
        return raw


def _between(homes: Sequence[str], low: str, high: str) -> Sequence[str]:
    return homes[bisect_left(homes, low) : bisect_left(homes, high) if high else len(homes)]
