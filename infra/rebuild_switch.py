"""What a rebuild does to a live installation beside replacing fragments: it tells the publisher who changed, and has
identity derived again by its one writer. And the other way: everything written into a Redis that serves nobody yet."""

from collections.abc import Sequence

import msgspec

from engine.identity import Claim
from infra.archive_homes import rows_in
from infra.fragment_bytes import pack
from infra.kafka_log import KafkaLog
from infra.link_record import LinkRecord
from infra.rebuild import Around, Progress, complete
from infra.rebuild_fold import blocks, refolded, slices
from infra.rebuild_people import related
from infra.redis_store_replay import ReplayStore
from infra.settings import Settings
from infra.topics import CHANGES, LINKS, topic

CLAIMS_TOGETHER = 500


class Announcer:
    """Sends through the broker what follows from a rebuild."""

    def __init__(self, log: KafkaLog, settings: Settings) -> None:
        self._log = log
        self._prefix = settings.prefix

    async def tell(self, partition: int, ids: Sequence[str]) -> None:
        """Have everything that is derived from these people derived again."""
        if ids:
            await self._log.send(topic(self._prefix, CHANGES), msgspec.msgpack.encode(list(ids)), partition)

    async def relate(self, claims: Sequence[Claim]) -> None:
        """Have identity record these claims once more and derive whoever they are about."""
        for start in range(0, len(claims), CLAIMS_TOGETHER):
            record = LinkRecord((), tuple(claims[start : start + CLAIMS_TOGETHER]))
            await self._log.send(topic(self._prefix, LINKS), msgspec.msgpack.encode(record), 0)


class NotEmpty(Exception):
    """A Redis that holds something is nowhere to write a rebuilt installation into."""


class Written(msgspec.Struct, frozen=True):
    """What was written into another Redis."""

    events: int
    fragments: int
    persons: int
    upto: str = "as of the watermarks at the start; `--finish` brings it up to the live one"


async def write_into(around: Around, target: ReplayStore, progress: Progress) -> Written:
    """Fragments as of the watermarks that stand when this begins, the index and those watermarks, into an empty Redis.
    What is not a fold is not written: `rebuild_finish` takes it over when the workers have stopped."""
    if not await target.empty():
        raise NotEmpty("there is something in that Redis; name an empty database")
    marks = await around.store.marks(around.partitions)
    await complete(around, marks)
    total, events, fragments = rows_in(around.archive, around.where("", "")), 0, 0
    for low, high in slices(total, around.rows_per_slice):
        waiting = await around.store.tails(around.partitions)
        where = msgspec.structs.replace(around.where(low, high), marks=tuple(marks.values()))
        for block in blocks(refolded(around.archive, where, waiting, around.rules), around.homes_together):
            await target.put({home: pack(stored) for home, stored, _ in block if stored is not None})
            events += sum(count for _, _, count in block)
            fragments += sum(stored is not None for _, stored, _ in block)
            progress(events, max(total, events))
    told = await related(around)
    companies = sorted(told.companies())
    await target.finish(marks.values(), companies, len(told.claims))
    await target.set_incarnations(await around.store.incarnations())
    return Written(events, fragments, len(companies))
