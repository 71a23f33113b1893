"""The last step before an installation goes on with another Redis: whatever changed since that one was rebuilt is
folded again, and what is no fold is taken over as it stands. Refuses while anybody works."""

from collections.abc import Sequence

from engine.ports import Stored
from infra.archive_homes import Where
from infra.fragment_bytes import pack
from infra.rebuild import Around, Progress, as_rebuilt, bytes_of, complete, rebuilt_again
from infra.rebuild_fold import refolded
from infra.rebuild_switch import Written
from infra.redis_store import RedisClient
from infra.redis_store_copy import Copying
from infra.redis_store_replay import ReplayStore
from infra.redis_store_stream import PartitionStore

HOMES_AT_ONCE = 5_000
WORKING = ("worker", "publisher")


class StillWorking(Exception):
    """Somebody writes to the live Redis: what is taken from it would not fit together."""


async def finish_into(around: Around, live: RedisClient, other: RedisClient, progress: Progress) -> Written:
    """Bring a rebuilt Redis up to the live one, whose workers, publisher and archiver were stopped. Raises
    `StillWorking`, `ArchiveLacks`, `ValueError` where nothing was rebuilt into it."""
    target, marks = ReplayStore(other, around.total), await around.store.marks(around.partitions)
    for name in WORKING:
        if await PartitionStore(live).alive(name):
            raise StillWorking(f"a {name} is at work; stop workers, publisher and archiver, and try again in a moment")
    if await target.empty():
        raise ValueError("nothing was rebuilt into that Redis yet; leave out --finish first")
    await complete(around, marks)
    homes = await around.store.homes(around.partitions)
    odd = await _changed(around, target, homes)
    events, done = 0, 0
    for start in range(0, len(odd), HOMES_AT_ONCE):
        some = odd[start : start + HOMES_AT_ONCE]
        events += await _again(around, target, some)
        done += len(some)
        progress(done, len(odd))
    await Copying(live, other).everything_but_fragments()
    if await around.store.marks(around.partitions) != marks:
        raise StillWorking("a worker moved a partition on meanwhile; stop all workers and run this again")
    persons = {members for members in (await target.index()).values() if len(members) > 1}
    return Written(events, len(homes), len(persons), "and everything else as it stands")


async def _changed(around: Around, target: ReplayStore, homes: Sequence[str]) -> list[str]:
    """The homes whose fragments in the two are not the same bytes."""
    found: list[str] = []
    for start in range(0, len(homes), HOMES_AT_ONCE):
        some = homes[start : start + HOMES_AT_ONCE]
        here, there = await around.store.fragments(some), await target.fragments(some)
        found += [home for home in some if here.get(home) != there.get(home)]
    return found


async def _again(around: Around, target: ReplayStore, homes: Sequence[str]) -> int:
    """Fold these homes once more into the target; returns of how many events."""
    held = await around.store.fragments(homes)
    waiting = await around.store.tails(around.partitions)
    again = list(refolded(around.archive, Where(homes=tuple(homes)), waiting, around.rules))
    fresh = {home: stored for home, stored, _ in again}
    await target.put({home: _standing(fresh.get(home), held[home]) for home in homes})
    return sum(count for _, _, count in again)


def _standing(stored: Stored | None, raw: bytes) -> bytes:
    """What is to stand there: the live bytes where they are what the archive folds to, or where it knows nothing of
    them; else what it folds to, as rebuilt once more, so that what was derived from the old one yields."""
    if stored is None or as_rebuilt(bytes_of(stored), raw) == bytes_of(stored):
        return raw
    return pack(rebuilt_again(stored, raw))
