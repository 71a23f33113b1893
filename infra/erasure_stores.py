"""The stores of what is kept of people, beside the archive: features online and offline, outreach queues, the database.
Each knows one store, what an export shows of it and how to count what an erasure takes; none knows why."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from engine.erasure_job import Eraser
from engine.export import named
from engine.ports import People, PersonView
from features.views import PROFILE, TIMESTAMP
from infra.archive import open_table
from infra.archive_erasure import drop_rows
from infra.feast_layout import encode_version
from infra.redis_store_features import RedisFeatures
from infra.redis_store_queues import RedisQueues
from infra.redis_store_reservations import RedisReservations

AT_ONCE = 200
Lines = Callable[[PersonView], AsyncIterator[dict[str, Any]]]
LEDGER = "consent ledger payloads"
FEATURE_ROW, OUTREACH, PROMISED = "feature_row", "outreach_entry", "promised_contact"
OPT_IN, REJECT = "opt_in", "reject"
# what has no `Store` here, by the name the certificate has for it: the kind of line under which an export shows it
SHOWN_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "fragments": "profile",
        "consent keys": "consent",
        "identity index": "profile",
        "recent decisions": "decision",
        "links archive": "link",
        "archive events": "event",
        "decision records (of the archive's events)": "decision",
        "outcomes (of the archive's events)": "outcome",
        LEDGER: "consent_record",
    }
)


class Store(Eraser, Protocol):
    """An eraser whose store an export shows as lines of one kind."""

    @property
    def kind(self) -> str: ...

    def lines(self, view: PersonView) -> AsyncIterator[dict[str, Any]]:
        """What is kept of the person now, little in memory at a time."""
        ...


def _emptied(view: PersonView) -> bytes:
    """A version above everything derived before the erasure and below whatever a new person derives."""
    link_version, consents, _ = view.generation
    return encode_version((link_version, consents, 0))


class OnlineFeatures:
    """Feast's online rows."""

    name, kind = "Feast online", FEATURE_ROW

    def __init__(self, people: People, features: RedisFeatures) -> None:
        self._people = people
        self._features = features

    async def erase(self, ids: Sequence[str], before: int) -> int:
        """Rows removed; one that a person wrote who began after `before` stays."""
        gone = 0
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            views = await self._people.people(some)
            for identity, view in zip(some, views, strict=True):
                gone += await self._features.erase_profile(identity, _emptied(view))
        return gone

    async def lines(self, view: PersonView) -> AsyncIterator[dict[str, Any]]:
        """A row per id that has one; a value is null where a purpose is closed."""
        for start in range(0, len(view.members), AT_ONCE):
            some = view.members[start : start + AT_ONCE]
            for identity, row in zip(some, await self._features.read_profiles(some), strict=True):
                if row is not None:
                    values = (None if np.isnan(value) else float(value) for value in row.values)
                    told = dict(zip(PROFILE.names, values, strict=True))
                    yield {"table": "online", "profile_id": identity, "at": row.at, "values": told}


class OfflineFeatures:
    """Feast's offline rows, on disk."""

    name, kind = "Feast offline", FEATURE_ROW

    def __init__(self, table: Path, column: str) -> None:
        self._table = table
        self._column = column

    async def erase(self, ids: Sequence[str], before: int) -> int:
        """Every row of these ids, of whatever time: they are made anew from the archive."""
        return await asyncio.to_thread(drop_rows, str(self._table), self._column, ids) if self._table.exists() else 0

    async def lines(self, view: PersonView) -> AsyncIterator[dict[str, Any]]:
        """One line that counts them and says when: each is computed from the events, which the export has."""
        times = await asyncio.to_thread(self._times, view.members)
        if times:
            ends = (int(moment.timestamp() * 1000) for moment in (min(times), max(times)))
            yield {"table": "offline", "rows": len(times), **dict(zip(("first", "last"), ends, strict=True))}

    def _times(self, ids: Sequence[str]) -> list[Any]:
        table = open_table(str(self._table)) if self._table.exists() else None
        if table is None:
            return []
        mine = [(self._column, "in", list(ids))]
        found: list[Any] = table.to_pyarrow_table(columns=[TIMESTAMP], filters=[mine])[TIMESTAMP].to_pylist()
        return found


class OutreachQueues:
    """The entries of every configured queue."""

    name, kind = "outreach queues", OUTREACH

    def __init__(self, people: People, queues: RedisQueues, names: Callable[[], Sequence[str]]) -> None:
        self._people = people
        self._queues = queues
        self._names = names

    async def erase(self, ids: Sequence[str], before: int) -> int:
        gone = 0
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            views = await self._people.people(some)
            places = {i: (_emptied(view), None) for i, view in zip(some, views, strict=True) if not view.known}
            for queue in self._names():
                gone += len(await self._queues.entries_of(queue, list(places)))
                await self._queues.write(queue, places)
        return gone

    async def lines(self, view: PersonView) -> AsyncIterator[dict[str, Any]]:
        for queue in self._names():
            for entry in await self._queues.entries_of(queue, view.members):
                yield named(entry)


class SqlRows:
    """Rows of the database about these people: payloads of the consent ledger, whose chain stays, and the like."""

    def __init__(self, name: str, erase: Callable[[Sequence[str]], int]) -> None:
        self.name = name
        self._erase = erase

    async def erase(self, ids: Sequence[str], before: int) -> int:
        return await asyncio.to_thread(self._erase, ids)


class ShownRows(SqlRows):
    """The same, with what an export says of them."""

    def __init__(self, name: str, erase: Callable[[Sequence[str]], int], kind: str, lines: Lines) -> None:
        super().__init__(name, erase)
        self.kind = kind
        self.lines = lines


class PromisedContacts:
    """Contacts that were promised by a decision and not made yet."""

    name, kind = "promised contacts", PROMISED

    def __init__(self, reservations: RedisReservations, clock: Callable[[], int]) -> None:
        self._reservations = reservations
        self._clock = clock

    async def erase(self, ids: Sequence[str], before: int) -> int:
        return await self._reservations.erase(ids)

    async def lines(self, view: PersonView) -> AsyncIterator[dict[str, Any]]:
        for promised in await self._reservations.promised([view], self._clock()):
            for contact in (*promised.own, *promised.elsewhere):
                yield named(contact)
