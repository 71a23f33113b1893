"""Past decisions wherever they are now: recent ones in Redis, older ones in the archive. Knows nothing of what was
decided."""

import asyncio

from engine.records import DecisionRecord
from infra.archive import find_decision
from infra.redis_store import RedisDecisions


class FoundDecisions:
    """`engine.ports.Decisions`."""

    def __init__(self, recent: RedisDecisions, archive: str) -> None:
        self._recent = recent
        self._archive = archive

    async def decision(self, decision_id: str) -> DecisionRecord | None:
        found = await self._recent.decision(decision_id)
        return found or await asyncio.to_thread(find_decision, self._archive, decision_id)
