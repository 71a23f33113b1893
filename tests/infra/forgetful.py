"""A Redis that can be killed and come back without what it wrote last."""

import asyncio
import os
import signal
from pathlib import Path

from redis.asyncio import Redis

from infra.embedded import free_port, start_redis
from infra.processes import RunningServer


class Forgetful:
    """A Redis with an append-only file that can be killed and come back without what it wrote last."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.server: RunningServer | None = None

    async def start(self) -> str:
        self.server = await start_redis(self.port, self.home)
        return self.server.url

    @property
    def file(self) -> Path:
        return next((self.home / "redis" / "appendonlydir").glob("*.incr.aof"))

    async def written(self) -> int:
        """How long its file is with everything it has acknowledged: while it syncs, it keeps some back."""
        assert self.server is not None
        async with Redis.from_url(self.server.url) as redis:
            while (await redis.info("persistence"))["aof_buffer_length"]:  # noqa: ASYNC110 reason: Redis gives no sign
                await asyncio.sleep(0.01)
        return self.file.stat().st_size

    async def forget_since(self, size: int) -> None:
        """Dies, and comes back with its file as it was when it had this size."""
        assert self.server is not None
        os.kill(self.server.pid, signal.SIGKILL)
        await self.server.stop()
        os.truncate(self.file, size)
        await self.start()
