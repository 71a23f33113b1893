"""The erasers of an installation's stores: features online and offline, outreach queues, the consent ledger. Each
knows one store and how to count what goes; none knows why."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.ports import People, PersonView
from infra.archive_erasure import drop_rows
from infra.feast_layout import encode_version
from infra.redis_store import RedisQueues
from infra.redis_store_features import RedisFeatures
from infra.redis_store_reservations import RedisReservations

AT_ONCE = 200


def _emptied(view: PersonView) -> bytes:
    """A version above everything derived before the erasure and below whatever a new person derives."""
    link_version, consents, _ = view.generation
    return encode_version((link_version, consents, 0))


class OnlineFeatures:
    """Feast's online rows."""

    name = "Feast online"

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


class OfflineFeatures:
    """Feast's offline rows, on disk."""

    name = "Feast offline"

    def __init__(self, table: Path, column: str) -> None:
        self._table = table
        self._column = column

    async def erase(self, ids: Sequence[str], before: int) -> int:
        """Every row of these ids, of whatever time: they are made anew from the archive."""
        return await asyncio.to_thread(drop_rows, str(self._table), self._column, ids) if self._table.exists() else 0


class OutreachQueues:
    """The entries of every configured queue."""

    name = "outreach queues"

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
                gone += await self._queues.held(queue, list(places))
                await self._queues.write(queue, places)
        return gone


class SqlRows:
    """Rows of the database about these people: payloads of the consent ledger, whose chain stays, and the like."""

    def __init__(self, name: str, erase: Callable[[Sequence[str]], int]) -> None:
        self.name = name
        self._erase = erase

    async def erase(self, ids: Sequence[str], before: int) -> int:
        return await asyncio.to_thread(self._erase, ids)


class PromisedContacts:
    """Contacts that were promised by a decision and not made yet."""

    name = "promised contacts"

    def __init__(self, reservations: RedisReservations) -> None:
        self._reservations = reservations

    async def erase(self, ids: Sequence[str], before: int) -> int:
        return await self._reservations.erase(ids)
