"""What decisions are made with right now, and the making of one: read the person, decide, log, answer. Knows ports and
the serving model; no adapter."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence

from api.deps import World
from api.errors import Problem
from api.reading import is_plain
from api.refusal import Refused
from api.schemas import DecisionAsk
from engine.catalog import Catalogue
from engine.decision_id import decided_at, decision_id, is_decision_id
from engine.errors import InvalidReference
from engine.identifiers import Identifier, parse_reference
from engine.ports import CrossFeatures, PersonView, Unavailable
from engine.records import DecisionRecord, decision_event
from features.compute import CrossCounts
from models.serving import Ask, Setting, decide, decide_many

CROSS_AGE_MS = 1000
PATIENCE_MS = 60_000
LOOKS = 2


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

    async def setting(self) -> Setting:
        current = self.world.now
        counts = await self._cross.counts(self.world.clock())
        return Setting(current.catalogue, current.purposes, self.world.live_model.current(), counts)

    async def decide(self, ask: DecisionAsk) -> DecisionRecord:
        """One decision, acknowledged by the log before it is returned."""
        setting = await self.setting()
        refused = problem_with(ask, setting.catalogue)
        if refused is not None:
            raise Problem(400, refused.code, refused.message)
        view = await self.world.people.person(reference(self.world, ask.profile).id)
        record = decide(self._ask(ask, view), setting)
        await self.world.log.append_now(decision_event(record))
        return record

    async def decide_many(self, asks: Sequence[DecisionAsk]) -> list[DecisionRecord | Refused]:
        """One answer per ask, in order: people in one read, one call of the model, one append."""
        setting = await self.setting()
        checked = [self._checked(ask, setting.catalogue) for ask in asks]
        wanted = {i: one.id for i, one in enumerate(checked) if isinstance(one, Identifier)}
        views = await self.world.people.people(list(wanted.values()))
        questions = [self._ask(asks[i], view) for i, view in zip(wanted, views, strict=True)]
        records = decide_many(questions, setting)
        await self.world.log.append([decision_event(record) for record in records])
        answers: dict[int, DecisionRecord | Refused] = dict(zip(wanted, records, strict=True))
        answers.update((i, one) for i, one in enumerate(checked) if isinstance(one, Refused))
        return [answers[i] for i in range(len(asks))]

    def _checked(self, ask: DecisionAsk, catalogue: Catalogue) -> Identifier | Refused:
        try:
            return problem_with(ask, catalogue) or reference(self.world, ask.profile)
        except InvalidReference as error:
            return Refused("invalid_reference", str(error))

    def _ask(self, ask: DecisionAsk, view: PersonView) -> Ask:
        at = self.world.clock()
        named = decision_id(view.profile_id, at, secrets.token_bytes(10))
        return Ask(view, ask.placement, ask.context or {}, named, at, ask.limit)


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
