"""Which arms a decision is made in, and what serves there: the arm's catalogue and model instead of the usual ones.
Knows the plan and the stored models; decides nothing."""

import asyncio
from collections.abc import Mapping

import msgspec

from engine.allocation import Allocation, without
from engine.consent import Purposes
from engine.experiment import PRIOR, Person, arms_at, first_seen
from engine.ports import PersonView
from features.protection import Protection, used_against
from models.replay import Past
from models.scorer import ModelError, PriorModel, Scorer
from models.serving import Known, Setting, known_of

RETRY_MS = 10_000


class Met:
    """A person at one moment; profile and consent are put together when first asked for."""

    def __init__(self, view: PersonView, purposes: Purposes, at: int) -> None:
        self.view = view
        self.at = at
        self._purposes = purposes
        self.known: Known | None = None

    def allows(self, purpose: str) -> bool:
        if self.known is None:
            self.known = known_of(self.view, self._purposes, self.at)
        return self.known.consent.allows(purpose)

    @property
    def person(self) -> Person:
        """The person as experiments deal it."""
        return Person(first_seen(self.view), self.allows)


class Dealer:
    """Deals arms, and keeps the models that variants name. An experiment one of whose models cannot be had, or uses
    a protected attribute, is halted: everybody in it gets what serves without it, and the record says so."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._models: dict[str, Scorer] = {PRIOR: PriorModel()}
        self._ready: Allocation | None = None
        self._tried = 0
        self.halted: frozenset[str] = frozenset()

    async def prepare(self, allocation: Allocation, protection: Protection, at: int) -> None:
        """Have the plan's models at hand; what is missing, or uses what no model may, is tried again every ten
        seconds."""
        if allocation is self._ready and (not self.halted or at - self._tried < RETRY_MS):
            return
        named = allocation.models()
        missing = [experiment for experiment, version in named if not await self._may_serve(version, protection)]
        self.halted = frozenset(missing)
        self._ready, self._tried = allocation, at

    async def _may_serve(self, version: str, protection: Protection) -> bool:
        return await self._has(version) and not used_against(protection, self._models[version].columns)

    async def _has(self, version: str) -> bool:
        if version in self._models:
            return True
        try:
            self._models[version] = await asyncio.to_thread(self._past.model, version)
        except ModelError:
            return False
        return True

    def arms(self, met: Met, allocation: Allocation, placement: str) -> Mapping[str, str]:
        """What the person is dealt for this placement."""
        return without(arms_at(allocation.plan, placement, met.person, met.at), self.halted)

    def setting(self, base: Setting, allocation: Allocation, arms: Mapping[str, str]) -> Setting:
        """What serves in these arms."""
        version, catalogue = allocation.model(arms), allocation.catalogue(arms)
        if not version and catalogue is base.catalogue:
            return base
        return msgspec.structs.replace(
            base, catalogue=catalogue, model=self._models[version] if version else base.model
        )
