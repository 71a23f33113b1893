"""A process that withdraws a consent and dies at a given step between serving key and ledger; run by the tests."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence

from engine.consent import Held
from engine.ports import ConsentChange
from infra.consent_writing import LedgeredConsents
from infra.ledger_store_consent import ConsentLedger, open_ledger
from infra.redis_store import RedisPeople, connect
from infra.redis_store_consent import ConsentKeys
from tests.infra.consent.place import PARTITIONS, A, B, Clock, no, yes

DEAD = 9
STEPS = ("before the key", "between key and ledger", "between ledger and key", "after everything")


class DyingKeys(ConsentKeys):
    """Keys whose process dies at the step it was told."""

    step = ""

    async def hold(self, changes: Mapping[str, ConsentChange], rows: Mapping[str, str], at: int) -> None:
        die_at("before the key", self.step)
        await super().hold(changes, rows, at)
        die_at("between key and ledger", self.step)

    async def settle(self, states: Mapping[str, Held], rows: Mapping[str, Sequence[str]]) -> dict[str, Held]:
        die_at("between ledger and key", self.step)
        found = await super().settle(states, rows)
        die_at("after everything", self.step)
        return found


def die_at(here: str, step: str) -> None:
    if here == step:
        os._exit(DEAD)


async def main(redis_url: str, database_url: str, step: str, what: str) -> None:
    """Says yes or no for A and B."""
    clock = Clock()
    redis = connect(redis_url)
    keys = DyingKeys(redis, PARTITIONS)
    keys.step = step
    ledger = ConsentLedger(open_ledger(database_url), clock)
    consents = LedgeredConsents(keys, ledger, RedisPeople(redis, PARTITIONS), clock)
    change = no(clock.at) if what == "no" else yes(clock.at, A, B)
    await consents.write({A: change, B: change} if what == "no" else {A: change})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
