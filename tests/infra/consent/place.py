"""Where consent lives in a test: one database, one Redis, and as many processes' views of them as a test wants."""

from collections.abc import Sequence

from engine.consent import DENIED, GRANTED, Consent, Purpose, Purposes, Statement, resolve
from engine.identity import Person
from engine.ports import ConsentChange
from infra.consent_opening import ConsentSide, put_together
from infra.ledger_store_consent import ConsentLedger, open_ledger
from infra.redis_store import RedisClient, Runs, connect
from infra.redis_store_consent import ConsentKeys
from infra.redis_store_links import LinkStore

POLICY = Purposes({"marketing": Purpose("marketing"), "analytics": Purpose("analytics")})
A, B = "a" * 26, "b" * 26
PARTITIONS = 4


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.at = 1_790_000_000_000

    def __call__(self) -> int:
        return self.at


class Place:
    """One installation's consent; every `side` is another process."""

    def __init__(self, redis_url: str, database_url: str) -> None:
        self.redis_url = redis_url
        self.database_url = database_url
        self.clock = Clock()
        self._sides: list[ConsentSide] = []

    def side(self) -> ConsentSide:
        runs = Runs()
        ledger = ConsentLedger(open_ledger(self.database_url), self.clock)
        made = put_together(connect(self.redis_url, runs), runs, ledger, PARTITIONS, self.clock)
        self._sides.append(made)
        return made

    async def opened(self) -> ConsentSide:
        """A process that has found Redis to hold the whole ledger."""
        made = self.side()
        await made.redis.ping()
        await made.truth.catch_up()
        assert made.truth.believed
        return made

    async def close(self) -> None:
        for side in self._sides:
            await side.end()
            await side.redis.aclose()


def yes(at: int, *covers: str) -> ConsentChange:
    return ConsentChange({"marketing": Statement(GRANTED, at, "page", True, covers)})


def no(at: int) -> ConsentChange:
    return ConsentChange({"marketing": Statement(DENIED, at, "page")})


async def consent(side: ConsentSide, identity: str = A) -> Consent:
    return resolve((await side.people.person(identity)).held, POLICY)


async def allowed(side: ConsentSide, identity: str = A) -> bool:
    return (await consent(side, identity)).allows("marketing")


async def link(redis: RedisClient, members: Sequence[str], version: int = 1) -> None:
    """These identifiers are one person, as the writer of identity would say."""
    await LinkStore(redis, PARTITIONS).publish([Person(tuple(members))], version)


def keys_of(side: ConsentSide) -> ConsentKeys:
    return ConsentKeys(side.redis, PARTITIONS)
