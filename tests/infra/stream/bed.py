"""One partition of a stream on a real Redis, without Kafka: records go in by hand, and what the station sends out is
kept to look at."""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.consent import Purposes
from engine.events import Arrival, Event, normalise
from engine.identifiers import IdentityRules, identify
from engine.ports import PersonView
from engine.records import Position, Record, encode
from engine.signals import DAY
from engine.step import Rules
from infra.consent_opening import put_together
from infra.ledger_store_consent import MEMORY, ConsentLedger, open_ledger
from infra.link_record import LinkRecord
from infra.redis_store import RedisClient, Runs
from infra.redis_store_links import LinkStore
from infra.redis_store_stream import PartitionStore
from infra.rejects import Reject
from infra.stream.advance import Outside, Partition
from infra.stream.relate import Around, Relation

# the one of the server's databases that the stations' tests have for themselves
DATABASE = 11
SECRET = b"a secret of these tests"
START = 1_790_000_000_000
# Redis forgets by its own clock, which is past START by now
LATENESS = 3650 * DAY
RULES = Rules()
POLICY = Purposes({}, default_jurisdiction="GDPR", countries={"US": "US"})


def event(kind: str = "track", user: str = "ann", **fields: Any) -> Event:
    """A client's event as the gateway would accept it; `minute` is its time, `consent` what it carries."""
    raw: dict[str, Any] = {"type": kind, "userId": user, "event": "Something", "context": {}}
    at = START + fields.pop("minute", 0) * 60_000
    if "consent" in fields:
        raw["context"]["consent"] = {"categoryPreferences": fields.pop("consent")}
    raw |= fields
    raw.setdefault("messageId", f"{kind}-{user}-{at}")
    accepted = normalise(raw, Arrival(SECRET, "web", at), RULES.identity, "")
    return msgspec.structs.replace(accepted, at=at)


def record(*events: Event) -> bytes:
    return encode(Record("1", START, events))


def id_of(kind: str, value: str) -> str:
    found = identify(SECRET, RULES.identity, kind, value)
    assert found is not None
    return found.id


class Bed:
    """Stores over one Redis with a single partition, and what a worker on them has sent."""

    def __init__(self, redis: RedisClient, partitions: int = 1, runs: Runs | None = None) -> None:
        self.redis = redis
        self.runs = runs or Runs()
        self.store = PartitionStore(redis)
        self.ledger = ConsentLedger(open_ledger(MEMORY), self.clock)
        side = put_together(redis, self.runs, self.ledger, partitions, self.clock)
        self.people, self.consents, self.truth = side.people, side.consents, side.truth
        self.links = LinkStore(redis, partitions)
        self.rejected: list[Reject] = []
        self.notices: list[str] = []
        self.told: list[str] = []
        self.appended: list[Event] = []
        self.woken = 0
        self.tail_limit = 20_000
        self.pause_s = 0.2
        self._now = START

    def clock(self) -> int:
        self._now += 1
        return self._now

    def partition(self, incarnation: int = 1, number: int = 0) -> Partition:
        """A worker's view of the partition; two of them are two workers."""
        outside = Outside(
            store=self.store,
            people=self.people,
            consents=self.consents,
            rules=RULES,
            policy=lambda: POLICY,
            clock=self.clock,
            reject=self._reject,
            notify=self._notify,
            wake_outbox=self._wake,
            tail_limit=self.tail_limit,
            pause_s=self.pause_s,
        )
        return Partition(number, incarnation, outside)

    def relation(self, incarnation: int = 1, rules: IdentityRules = RULES.identity) -> Relation:
        return Relation(
            incarnation,
            Around(
                self.links,
                self.store,
                rules,
                self._tell,
                self._append,
                LATENESS,
                clock=self.clock,
                spread=self.consents.spread,
                runs=self.runs,
            ),
        )

    async def link_record(self, after: Position | None = None) -> bytes:
        """What waits in the outbox, as the outbox's sender would send it."""
        entries = await self.store.outbox(0, after)
        return encode(LinkRecord(tuple((entry.position, entry.claims) for entry in entries)))

    async def view(self, user: str = "ann", kind: str = "user_id") -> PersonView:
        return await self.people.person(id_of(kind, user))

    async def tail(self) -> list[Position]:
        return [entry.position for entry in await self.store.tail(0, 10_000)]

    async def _reject(self, rejects: Sequence[Reject]) -> None:
        self.rejected += rejects

    async def _notify(self, _partition: int, ids: Sequence[str]) -> None:
        self.notices += ids

    async def _tell(self, ids: Sequence[str]) -> None:
        self.told += ids

    async def _append(self, events: Sequence[Event]) -> None:
        self.appended += events

    def _wake(self, _partition: int) -> None:
        self.woken += 1
