"""The application over a world in memory, served on a free port of this machine."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvicorn

from tests.api.world import Clock, Rig


@dataclass(frozen=True)
class Served:
    """Where the application listens, and its world."""

    url: str
    rig: Rig


class RealClock(Clock):
    """Clients stamp events with the real time, so receipt must be real as well."""

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000


@pytest.fixture
def served() -> Iterator[Served]:
    rig = Rig(clock=RealClock())
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen()  # from here on nobody is refused, however long the server takes to come up
    server = uvicorn.Server(uvicorn.Config(rig.app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([door])))
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{door.getsockname()[1]}", rig)
    finally:
        server.should_exit = True
        thread.join(10)
        door.close()
