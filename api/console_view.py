"""What the console shows: the model that serves, stored models, health, queues, actions. Reads ports only."""

import asyncio
from typing import Any

from api.answers import iso
from api.deps import World
from api.experiments_view import experiments_now
from api.models_view import model_lines, shelf_of
from api.watch_view import watch_values


async def console_values(world: World) -> dict[str, Any]:
    """The console page's values, each read just now."""
    catalogue = world.now.catalogue
    pages = await asyncio.gather(*(world.queues.entries(queue, 1) for queue in catalogue.queues))
    queues = [
        {
            "id": queue.id,
            "title": queue.title,
            "channel": queue.channel,
            "total": total,
            "top": entries[0].priority if entries else None,
        }
        for queue, (entries, total) in zip(catalogue.queues.values(), pages, strict=True)
    ]
    return {
        "serving": world.live_model.current().version,
        "health": {**await world.health.problems(), "configuration": world.configuration.problem},
        "warnings": await world.health.warnings(),
        "queues": queues,
        "actions": catalogue.documents.actions,
        "catalogue": catalogue.version,
        "parity": await asyncio.to_thread(_parity, world),
        "watch": await asyncio.to_thread(watch_values, world),
        "experiments": (await asyncio.to_thread(experiments_now, world)).experiments,
        "models": await asyncio.to_thread(model_lines, shelf_of(world)),
    }


def _parity(world: World) -> str:
    """What the latest measurement of parity says, naming every feature that comes out different."""
    found = shelf_of(world).parity() if world.models is not None else None
    if found is None:
        return "not measured yet; run rapport parity"
    worst = ", ".join(f"{name} {rate:.1%}" for name, rate in found.above(0.0).items())
    told = f"{found.decisions} decisions refolded on {iso(found.at)[:10]}"
    return f"{told}: {worst or 'every value equal'}"
