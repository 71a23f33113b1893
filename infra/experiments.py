"""Measures this installation's experiments: decisions and outcomes from the archive, who is one person today and whose
data is restricted from the serving side, what was found into the store. Computes no effect itself."""

import asyncio
from collections.abc import Sequence

from engine.consent import Purposes, resolve
from infra.archive import read_events
from infra.clock import now_ms
from infra.config import load
from infra.consent_opening import open_consents
from infra.findings_store import StoredFindings
from infra.settings import Settings
from models.dataset import decisions_in, outcomes_in
from models.trial import Findings, Persons, Scope, entries_of, findings

KINDS = ("decision", "outcome")
AT_ONCE = 500


async def persons_of(settings: Settings, profile_ids: Sequence[str], policy: Purposes) -> Persons:
    """Whom each profile id of then belongs to today, and whose data is restricted. Raises `Unavailable`."""
    side = await asyncio.to_thread(open_consents, settings, now_ms)
    found: dict[str, str] = {}
    restricted: set[str] = set()
    try:
        for start in range(0, len(profile_ids), AT_ONCE):
            part = profile_ids[start : start + AT_ONCE]
            views = await side.people.people(part)
            found.update((i, view.profile_id) for i, view in zip(part, views, strict=True))
            restricted |= {view.profile_id for view in views if resolve(view.held, policy).restricted}
    finally:
        await side.end()
        await side.redis.aclose()
    return Persons(found, frozenset(restricted))


async def measure(settings: Settings, scope: Scope) -> Findings:
    """Measure everything that is being tried, and keep what was found. Raises `Unavailable`."""
    table = await asyncio.to_thread(read_events, settings.archive, KINDS)
    dealt = [record for record in decisions_in(table) if record.arms]
    now = load(settings.config_dir)
    persons = await persons_of(settings, sorted({record.profile_id for record in dealt}), now.purposes)
    entries = entries_of(dealt, outcomes_in(table), persons, scope.window, now.catalogue.rewards)
    found = findings(now.allocation.plan, entries, len(dealt), scope)
    StoredFindings(settings.models_dir).keep(found)
    return found
