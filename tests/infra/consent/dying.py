"""A process that withdraws a consent and kills itself at a given step between serving key and ledger, and how a test
runs it."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from sqlalchemy import event

from engine.consent import Held
from engine.ports import ConsentChange
from infra.consent_writing import LedgeredConsents
from infra.ledger_store_consent import ConsentLedger, open_ledger
from infra.redis_store import Pending, RedisPeople, connect
from infra.redis_store_consent import ConsentKeys
from tests.infra.consent.place import PARTITIONS, A, B, Clock, Place, no, yes

DEAD = -signal.SIGKILL
BEFORE, AMID_KEYS, HELD, IN_LEDGER = "before the keys", "amid the keys", "before the ledger", "amid the ledger"
LEDGERED, AMID_FINAL, AFTER = "before the final keys", "amid the final keys", "after everything"
STEPS = (BEFORE, AMID_KEYS, HELD, IN_LEDGER, LEDGERED, AMID_FINAL, AFTER)


async def dies(place: Place, step: str, what: str) -> None:
    """Another process says `what` and dies at this step."""
    arguments = ("-m", "tests.infra.consent.dying", place.redis_url, place.database_url, step, what)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    assert await process.wait() == DEAD


class DyingKeys(ConsentKeys):
    """Keys whose process dies at the step it was told."""

    step = ""

    async def hold(self, changes: Mapping[str, ConsentChange], rows: Mapping[str, str], since: Pending) -> None:
        die_at(BEFORE, self.step)
        if self.step == AMID_KEYS:
            await super().hold(dict([*changes.items()][:1]), rows, since)
        die_at(AMID_KEYS, self.step)
        await super().hold(changes, rows, since)
        die_at(HELD, self.step)

    async def settle(self, states: Mapping[str, Held], rows: Mapping[str, Sequence[str]]) -> dict[str, Held]:
        die_at(LEDGERED, self.step)
        if self.step == AMID_FINAL:
            await super().settle(dict([*states.items()][:1]), rows)
        die_at(AMID_FINAL, self.step)
        found = await super().settle(states, rows)
        die_at(AFTER, self.step)
        return found


def die_at(here: str, step: str) -> None:
    if here == step:
        os.kill(os.getpid(), signal.SIGKILL)


async def main(redis_url: str, database_url: str, step: str, what: str) -> None:
    """Says yes or no for A and B."""
    clock = Clock()
    redis = connect(redis_url)
    keys = DyingKeys(redis, PARTITIONS)
    keys.step = step
    engine = open_ledger(database_url)
    # rows are written, and the transaction is not yet
    event.listen(engine, "commit", lambda _connection: die_at(IN_LEDGER, step))
    ledger = ConsentLedger(engine, clock)
    consents = LedgeredConsents(keys, ledger, RedisPeople(redis, PARTITIONS), clock)
    change = no(clock.at) if what == "no" else yes(clock.at, A, B)
    await consents.write({A: change, B: change} if what == "no" else {A: change})
    await consents.end()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
