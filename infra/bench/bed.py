"""An installation made for one measurement: a directory and servers of its own, filled, started and taken away again.
Knows processes; nothing of what is measured."""

import asyncio
import contextlib
import dataclasses
import functools
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from infra.bench.people import SECRET
from infra.embedded import HOST, connection, free_port
from infra.kafka_log import ensure_topics
from infra.ledger_store import new_secret
from infra.processes import spawn, until_ready
from infra.redis_store import FAILURES, connect
from infra.redis_store_stream import PartitionStore
from infra.settings import DEMO_CONFIG, Settings
from infra.up import Running, launches, servers, start
from infra.wiring import prepare

QUIET_SECONDS = 0.6


class Place(msgspec.Struct, frozen=True):
    """Where to measure: servers that run already (empty: embedded ones), and whether a rough figure will do."""

    kafka_url: str = ""
    redis_url: str = ""
    quick: bool = False


class NotEmpty(RuntimeError):
    """A server to measure on holds somebody's data."""


@dataclass(frozen=True)
class Bed:
    """One installation under measurement."""

    settings: Settings
    running: Running

    def launch(self, names: Sequence[str]) -> None:
        """Start some of our own processes."""
        for name in names:
            self.running.children[name] = spawn(launches(self.settings)[name])

    @property
    def external_redis(self) -> bool:
        """Whether Redis is somebody else's, whose settings are left alone."""
        return not any(server.name == "redis" for server in self.running.servers)

    async def quiet(self, seconds: float = 180.0) -> None:
        """Wait until the stream has applied and archived all there is and nothing is published any more."""
        redis = connect(self.settings.redis_url)
        before: tuple[int, ...] = ()
        try:
            async with asyncio.timeout(seconds):
                # twice the same with empty tails, a moment apart
                while (now := await self._standing(redis)) != before or now[0]:
                    before = now
                    await asyncio.sleep(QUIET_SECONDS)
        finally:
            await redis.aclose()

    async def _standing(self, redis: Any) -> tuple[int, ...]:
        store, partitions = PartitionStore(redis), range(self.settings.partitions)
        tails = [await store.tail_length(p) for p in partitions]
        marks = [(await store.watermark(p)).offset for p in partitions]
        return sum(tails), sum(marks), int(await redis.dbsize())

    def failure(self) -> str:
        """What ended although it should not have; empty while all is well."""
        dead = [one for one in (*self.running.servers, *self.running.children.values()) if not one.alive()]
        return "; ".join(f"the {one.name} ended: {one.last_words()}" for one in dead)


def _settings(place: Place, home: Path, config: Path) -> Settings:
    return Settings(
        data_dir=home,
        config_dir=config,
        port=free_port(),
        kafka_url=place.kafka_url,
        redis_url=place.redis_url,
        prefix=f"bench-{home.name}-" if place.kafka_url else "",
        admin_key=new_secret("admin"),
        write_key=new_secret("write"),
        secret=SECRET.decode(),
    )


@contextlib.asynccontextmanager
async def _home() -> AsyncIterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="rapport-bench-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.asynccontextmanager
async def servers_only(place: Place, config: Path = DEMO_CONFIG) -> AsyncIterator[Bed]:
    """Broker and Redis with topics made, none of our processes running yet."""
    async with _home() as home:
        running = Running(_settings(place, home, config))
        try:
            await servers(running)
            async with empty(running.settings.redis_url):
                await prepare(running.settings)
                yield Bed(running.settings, running)
        finally:
            await _end(running)


async def _end(running: Running) -> None:
    """What a bench leaves behind is thrown away, so nobody drains."""
    for child in running.children.values():
        child.process.kill()
        child.process.wait()
    running.children.clear()
    await running.stop()


@contextlib.asynccontextmanager
async def whole(place: Place, config: Path = DEMO_CONFIG) -> AsyncIterator[Bed]:
    """The whole system as `rapport up` runs it."""
    async with _home() as home, contextlib.AsyncExitStack() as stack:
        settings = _settings(place, home, config)
        if place.redis_url:
            await stack.enter_async_context(empty(place.redis_url))
        running = await start(settings, Console(quiet=True))
        stack.push_async_callback(_end, running)
        yield Bed(running.settings, running)


@contextlib.asynccontextmanager
async def empty(redis_url: str) -> AsyncIterator[Any]:
    """A Redis database that is empty now and will be emptied again. Raises `NotEmpty` rather than touch anything."""
    redis = connect(redis_url)
    try:
        if await redis.dbsize():
            raise NotEmpty("the Redis database to measure on is not empty; name an unused one, for example …/15")
        yield redis
        # emptying millions of keys takes longer than a client waits, and the figures are taken already
        with contextlib.suppress(*FAILURES):
            await redis.flushdb(asynchronous=True)
    finally:
        await redis.aclose()


@contextlib.asynccontextmanager
async def bare_server(bed: Bed, factory: str) -> AsyncIterator[int]:
    """FastAPI on uvicorn with nothing of ours around its answers, in a process of its own; gives its port."""
    port = free_port()
    command = (
        *(sys.executable, "-m", "uvicorn", "--factory", f"api.bare:{factory}", "--host", HOST, "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    )
    likeness = launches(bed.settings)["api"]
    server = spawn(dataclasses.replace(likeness, name="bare", command=command))
    try:
        await until_ready(server, functools.partial(_listens, port))
        yield port
    finally:
        await server.stop()


async def _listens(port: int) -> bool:
    async with connection(port):
        return True


async def make_topic(settings: Settings, name: str) -> str:
    """A topic of the bench's own with as many partitions as events have."""
    prefix = f"{settings.prefix}{name}-"
    await ensure_topics(settings.kafka_url, prefix, settings.partitions, settings.replicas)
    return f"{prefix}events"
