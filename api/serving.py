"""What decisions are made with right now, and the making of one: read the person, decide, log, answer. Knows ports and
the serving model; no adapter."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from api.dealing import Dealer, Met
from api.deps import World
from api.errors import Problem
from api.promising import Posed, decided_within_caps, kept
from api.reading import is_plain
from api.refusal import Refused
from api.schemas import DecisionAsk
from api.together import Together
from engine.catalog import Catalogue
from engine.decision_id import decided_at, decision_id, is_decision_id
from engine.errors import InvalidReference
from engine.events import Event
from engine.identifiers import Identifier, parse_reference
from engine.ports import CrossFeatures, PersonView, Unavailable
from engine.records import DecisionRecord, decision_event
from features.compute import CrossCounts
from models.serving import Ask, Setting

CROSS_AGE_MS = 1000
PATIENCE_MS = 60_000
LOOKS = 2
# so many decisions of a long list share a call of the model, which keeps everybody else on the loop waiting
FEW = 8


class CrossCache:
    """Cross-profile counts, read again every second. A read that fails keeps the counts of before."""

    def __init__(self, source: CrossFeatures) -> None:
        self._source = source
        self._counts: Mapping[tuple[str, str], CrossCounts] = {}
        self._read_at = 0
        self._reading: asyncio.Task[None] | None = None

    async def counts(self, at: int) -> Mapping[tuple[str, str], CrossCounts]:
        """The counts; only the very first caller waits for them."""
        if at - self._read_at >= CROSS_AGE_MS and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read(at))
        if self._read_at == 0 and self._reading is not None:
            await self._reading
        return self._counts

    async def _read(self, at: int) -> None:
        try:
            found = await self._source.cross_counts()
        except Unavailable:
            return
        finally:
            self._read_at = at
        self._counts = {key: CrossCounts(*values) for key, values in found.items()}


class Serving:
    """Makes decisions. One per process: it keeps the cross-profile counts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._cross = CrossCache(world.cross)
        self._dealer = Dealer(world.past)
        self._together = Together(self._decide_now)
        self._allocations = (world.now.allocation,) * 2

    async def setting(self) -> Setting:
        current = self.world.now
        if current.allocation is not self._allocations[0]:
            # whoever began before an edit ends with what was in force then
            self._allocations = (current.allocation, self._allocations[0])
        counts = await self._cross.counts(self.world.clock())
        return Setting(current.catalogue, current.purposes, self.world.live_model.current(), counts)

    async def decide(self, ask: DecisionAsk) -> DecisionRecord:
        """One decision, acknowledged by the log before it is returned. Raises `Problem` for what cannot be decided."""
        found = await self._together.ask(ask)
        if isinstance(found, Refused):
            raise Problem(400, found.code, found.message)
        return found

    async def _decide_now(self, asks: Sequence[DecisionAsk]) -> list[DecisionRecord | Refused]:
        return await self._decided(asks, lambda events: self.world.log.append_now(*events))

    async def decide_for(self, ask: DecisionAsk, view: PersonView, setting: Setting) -> DecisionRecord:
        """The same for a person who was read already."""
        posed = [await self._posed(ask, view, setting)]
        records = await self._within_caps(posed)
        async with kept(posed, records, self.world.reservations):
            await self.world.log.append_now(decision_event(records[0]))
        return records[0]

    async def unlogged(self, ask: DecisionAsk, view: PersonView, setting: Setting) -> DecisionRecord:
        """The same at a placement without caps, for a caller who logs it before answering."""
        [record] = await self._within_caps([await self._posed(ask, view, setting)])
        return record

    async def decide_many(self, asks: Sequence[DecisionAsk]) -> list[DecisionRecord | Refused]:
        """One answer per ask, in order: people in one read, a call of the model for every few, one append."""
        return await self._decided(asks, self.world.log.append)

    async def _decided(
        self, asks: Sequence[DecisionAsk], append: Callable[[list[Event]], Awaitable[None]]
    ) -> list[DecisionRecord | Refused]:
        setting = await self.setting()
        checked = [self._checked(ask, setting.catalogue) for ask in asks]
        wanted = {i: one.id for i, one in enumerate(checked) if isinstance(one, Identifier)}
        views = await self.world.people.people(list(wanted.values()))
        questions = [await self._posed(asks[i], view, setting) for i, view in zip(wanted, views, strict=True)]
        records: list[DecisionRecord] = []
        for start in range(0, len(questions), FEW):
            records += await self._within_caps(questions[start : start + FEW])
        async with kept(questions, records, self.world.reservations):
            await append([decision_event(record) for record in records])
        answers: dict[int, DecisionRecord | Refused] = dict(zip(wanted, records, strict=True))
        answers.update((i, one) for i, one in enumerate(checked) if isinstance(one, Refused))
        return [answers[i] for i in range(len(asks))]

    async def _within_caps(self, questions: Sequence[Posed]) -> list[DecisionRecord]:
        return await decided_within_caps(questions, self.world.reservations, self.world.way.clear)

    def _checked(self, ask: DecisionAsk, catalogue: Catalogue) -> Identifier | Refused:
        try:
            return problem_with(ask, catalogue) or reference(self.world, ask.profile)
        except InvalidReference as error:
            return Refused("invalid_reference", str(error))

    async def _posed(self, ask: DecisionAsk, view: PersonView, setting: Setting) -> Posed:
        at = self.world.clock()
        named = decision_id(view.profile_id, at, secrets.token_bytes(10))
        put = Ask(view, ask.placement, ask.context or {}, named, at, ask.limit)
        allocation = next((one for one in self._allocations if one.base is setting.catalogue), None)
        if allocation is None or allocation.plan.idle:
            return Posed(put, setting)
        await self._dealer.prepare(allocation, self.world.now.protection, at)
        met = Met(view, setting.purposes, at)
        arms = self._dealer.arms(met, allocation, ask.placement)
        own = self._dealer.setting(setting, allocation, arms)
        return Posed(msgspec.structs.replace(put, arms=arms, known=met.known), own)

    async def dealt(self, view: PersonView) -> tuple[Dealer, Met]:
        """The dealer, ready for the plan in force, and the person as it deals her now."""
        current, at = self.world.now, self.world.clock()
        await self._dealer.prepare(current.allocation, current.protection, at)
        return self._dealer, Met(view, current.purposes, at)


def problem_with(ask: DecisionAsk, catalogue: Catalogue) -> Refused | None:
    """Why this ask cannot be answered, apart from its reference."""
    if ask.placement not in catalogue.placements:
        return Refused("unknown_placement", f"the catalogue has the placements {', '.join(catalogue.placements)}")
    if ask.context and not is_plain(ask.context):
        return Refused("invalid_context", "context is nested too deeply or holds an integer beyond 64 bits")
    return None


def reference(world: World, text: str) -> Identifier:
    """The identifier a reference names, normalised as events are. Raises `InvalidReference`."""
    return parse_reference(world.secret, world.now.identity, text)


async def recorded(world: World, named: str) -> DecisionRecord | None:
    """A past decision. One that was made within the last minute may still be on its way, so it is waited for."""
    if not is_decision_id(named):
        return None
    for _ in range(LOOKS):
        record = await world.decisions.decision(named)
        if record is not None or abs(world.clock() - decided_at(named)) > PATIENCE_MS:
            return record
        await asyncio.sleep(0.05)
    return None
