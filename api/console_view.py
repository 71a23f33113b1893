"""What the console shows: the model that serves, stored models, health, queues, actions. Reads ports only."""

import asyncio
from typing import Any

from api.deps import World
from api.models_view import model_lines, shelf_of


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
        "queues": queues,
        "actions": catalogue.documents.actions,
        "catalogue": catalogue.version,
        "models": await asyncio.to_thread(model_lines, shelf_of(world)),
    }
