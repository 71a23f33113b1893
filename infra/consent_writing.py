"""Consent, written in the order that never shows a withdrawn purpose as granted: a refusal counts in the serving key
before the ledger has it, a grant only after. Knows ledger and keys; what is said, the rules of `engine` say."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from engine.consent import Held
from engine.ledger import Damaged, Draft, Saying, drafts_of, narrowing, proof_of, row_of_event
from engine.ports import PLAIN, Circumstances, ConsentChange, People, Proof, Stale, Unavailable
from engine.records import partition_of
from engine.statement import spread
from infra.beside import Beside
from infra.ledger_store_consent import Commit, ConsentLedger
from infra.redis_store import FAILURES, Pending, Runs
from infra.redis_store_consent import ConsentKeys

log = logging.getLogger("rapport.consent")
# a pending row older than this was left behind by a writer that died
LEFT_BEHIND_MS = 10_000
CHECK_SECONDS = 0.2
TOGETHER = 500
Tell = Callable[[Sequence[str]], Awaitable[None]]


class Persons(People, Protocol):
    """People who can also be asked for nothing but who they are."""

    async def members(self, identities: Sequence[str]) -> set[str]: ...


class LedgeredConsents:
    """`engine.ports.Consents`. `people` is asked, after a refusal, whether the person has grown meanwhile."""

    def __init__(self, keys: ConsentKeys, ledger: ConsentLedger, people: Persons, clock: Callable[[], int]) -> None:
        self._keys = keys
        self._ledger = ledger
        self._people = people
        self._clock = clock
        self._settling = Beside()

    async def end(self) -> None:
        """Waits for what is still brought up to the ledger."""
        await self._settling.end()

    async def held(self, identities: Sequence[str]) -> dict[str, Held]:
        """What is stored under each of the identifiers that ever said something; the ledger is asked where a row is on
        its way to it, or Redis may have forgotten some. Raises `Unavailable`."""
        said = await self._people.said(identities)
        return {i: one for i in identities if (one := said[i][i]) != Held()}

    async def write(self, changes: Mapping[str, ConsentChange], told: Circumstances = PLAIN) -> dict[str, Held]:
        """Returns when ledger and keys hold the change, under everybody who is the same person by then."""
        if not changes:
            return {}
        states, members = await self._put(changes, told)
        if told.event:
            await self._keys.listen_again(changes)
        while not members <= changes.keys() and (grown := await self._grown(changes)):
            more, members = await self._put(grown, Circumstances("identity", "link", self._clock()))
            changes, states = {**changes, **grown}, {**states, **more}
        return states

    async def _put(self, changes: Mapping[str, ConsentChange], told: Circumstances) -> tuple[dict[str, Held], set[str]]:
        """What each identifier holds then, and who the persons were once a refusal counted (nobody where there is
        none)."""
        now = self._clock()
        told = told if told.at else msgspec.structs.replace(told, at=now)
        rows = {i: row_of_event(*told.event, i) if told.event else f"r{secrets.token_hex(16)}" for i in changes}
        refusals = {i: less for i, change in changes.items() if (less := narrowing(change)) is not None}
        since = Pending(now, ConsentChange(), told.who, told.jurisdiction)
        counting = asyncio.create_task(self._keys.hold(refusals, rows, since)) if refusals else None
        mine = {i: (row, *(f"{row}:{purpose}" for purpose in changes[i].statements)) for i, row in rows.items()}
        wanted = Commit(drafts_of(changes, told, rows), [*changes, *(told.expected or {})], told.expected)
        try:
            writing, asking = self._ledger.commit(wanted, counting), self._members(list(refusals), counting)
            states, members = await asyncio.gather(writing, asking)
        except Stale:
            # who read this read too little: a writer may have died before the key was brought up to the ledger
            current = await self._ledger.held(wanted.subjects)
            await self._keys.settle({i: current.get(i, Held()) for i in wanted.subjects}, mine)
            raise
        states = {i: states.get(i, Held()) for i in changes}
        if refusals == changes and not any(change.preferences or change.settings for change in changes.values()):
            # They count already, as rows on their way; whoever reads the key before it is settled asks the ledger. A
            # statement carries its time, so such a row narrows nothing that is said later; a preference would.
            self._settling.start(self._settle(states, mine))
            return states, members
        return await self._keys.settle(states, mine), members

    async def _members(self, refusing: Sequence[str], counting: asyncio.Future[None] | None) -> set[str]:
        """Who the persons are once the refusals count: who links somebody later than this sees them."""
        if counting is not None:
            await asyncio.shield(counting)
        return await self._people.members(refusing)

    async def _settle(self, states: Mapping[str, Held], rows: Mapping[str, Sequence[str]]) -> None:
        try:
            await self._keys.settle(states, rows)
        except Unavailable:
            log.warning("a consent key could not be brought up to the ledger; that is done again later")

    async def _grown(self, changes: Mapping[str, ConsentChange]) -> dict[str, ConsentChange]:
        """Refusals for identifiers that became the same person while this was written: either the writer of identity
        saw the refusal, or it is seen here who came."""
        if not any(narrowing(change) for change in changes.values()):
            return {}
        views = await self._people.people(list(changes))
        found: dict[str, ConsentChange] = {}
        for view in views:
            if not set(view.members) <= changes.keys():
                found |= spread(view.members, view.held)
        return {i: change for i, change in found.items() if i not in changes}

    async def spread(self, persons: Sequence[Sequence[str]]) -> None:
        """Write what a member of each person refuses under all of its members, so that parting them opens nothing."""
        identities = [i for members in persons for i in members]
        held = await self.held(identities)
        for members in persons:
            changes = spread(members, {i: held[i] for i in members if i in held})
            if changes:
                with going_on():
                    await self._put(changes, Circumstances("identity", "link", self._clock()))

    async def history(self, identities: Sequence[str]) -> list[Proof]:
        """Everything said under these identifiers, oldest first."""
        return [proof_of(row) for row in await self._ledger.rows(identities)]

    async def mend(self, waiting: Mapping[str, Mapping[str, Pending]], tell: Tell | None = None) -> set[str]:
        """Carry out refusals whose writer died between key and ledger, and tell whose they are; who is still at it does
        the same thing. It may have died before every identifier of the person had one. Returns whose writer may be at
        it still."""
        due = self._clock() - LEFT_BEHIND_MS
        done: list[str] = []
        try:
            for identity, rows in waiting.items():
                old = {row: p for row, p in rows.items() if p.at <= due}
                with going_on():
                    await self._carry_out(identity, old)
                    done += [identity] if old else []
        finally:
            # only what was carried out: whoever is told reads the person, and what waits still is seen again
            if done and tell is not None:
                await tell(done)
        return {identity for identity, rows in waiting.items() if any(p.at > due for p in rows.values())}

    async def _carry_out(self, identity: str, old: Mapping[str, Pending]) -> None:
        drafts = [
            Draft(row, identity, Saying(p.at, p.who, "mended", p.change, p.jurisdiction), True)
            for row, p in old.items()
        ]
        if drafts:
            states = await self._ledger.commit(Commit(drafts, [identity]))
            await self._keys.settle(states, {identity: list(old)})
            await self.spread([(await self._people.person(identity)).members])


@contextlib.contextmanager
def going_on() -> Iterator[None]:
    """A row that cannot be read is its own person's trouble: whoever comes after must not wait for it. What is on its
    way under them counts already."""
    try:
        yield
    except Damaged as damaged:
        log.warning("%s", damaged)


def overlaid(held: Held, rows: Mapping[str, Pending]) -> Held:
    """The ledger's word, narrowed by the refusals that are still on their way to it."""
    for row in sorted(rows):
        held = rows[row].narrowed(held)
    return held


class Truth:
    """Whether what Redis says about consent may be believed, and what is true where it may not: a Redis that restarted
    may have lost its last second, so the ledger is asked until it has been brought up to it."""

    def __init__(self, keys: ConsentKeys, ledger: ConsentLedger, runs: Runs, partitions: int) -> None:
        self._keys = keys
        self._ledger = ledger
        self._runs = runs
        self._partitions = partitions
        self._waiting: dict[str, dict[str, Pending]] = {}

    @property
    def believed(self) -> bool:
        return self._runs.seen <= self._runs.trusted

    async def held(self, identities: Sequence[str], waiting: Mapping[str, dict[str, Pending]]) -> dict[str, Held]:
        """What the ledger says about these identifiers, narrowed by what is on its way to it. Raises `Unavailable`."""
        self._waiting.update(waiting)
        said = await self._ledger.held(identities)
        return {i: overlaid(said.get(i, Held()), waiting.get(i, {})) for i in identities if i in said or i in waiting}

    async def catch_up(self) -> int:
        """Bring Redis up to the ledger if a run of it is new; returns how many identifiers were written."""
        runs = sorted(self._runs.seen)
        if self.believed:
            return 0
        if set(runs) <= await self._keys.runs():
            self._runs.trusted.update(runs)
            return 0
        marks, end = await self._keys.marks(), await self._ledger.head()
        at, written = min(marks), 0
        while page := await self._ledger.subjects_after(at):
            late = dict.fromkeys(i for seq, i in page if seq > marks[partition_of(i, self._partitions)])
            for start in range(0, len(late), TOGETHER):
                await self._keys.settle(await self._ledger.held_or_closed(list(late)[start : start + TOGETHER]), {})
            at, written = page[-1][0], written + len(late)
        if await self._keys.caught_up(end.seq, runs):
            self._runs.trusted.update(runs)
        return written

    async def _mended(self, consents: LedgeredConsents, tell: Tell | None = None) -> None:
        """Carry out what was seen waiting; what waits after that, or where that failed, is looked at again."""
        seen, self._waiting = self._waiting, {}
        left = seen
        try:
            _, current = await self._keys.read(list(seen)) if seen else ({}, {})
            young = await consents.mend(current, tell)
            left = {identity: current[identity] for identity in young}
        finally:
            self._waiting.update(left)

    async def watch(self, consents: LedgeredConsents, tell: Tell | None = None) -> None:
        """Keep catching up and mending for as long as the process lives; `tell` hears whose refusals were mended."""
        while True:
            try:
                await self._runs.ask()
                written = await self.catch_up()
                if written:
                    log.warning("Redis restarted; consent of %d identifiers was written again", written)
                await self._mended(consents, tell)
            except (*FAILURES, Unavailable) as error:
                log.warning("consent waits for a server: %s", type(error).__name__)
            await asyncio.sleep(CHECK_SECONDS)
