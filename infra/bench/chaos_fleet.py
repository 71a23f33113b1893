"""An installation that is killed on purpose: Apache Kafka, Redis and our own processes, each started again on the same
port and data after it died. Knows processes and signals; nothing of what they work on."""

import asyncio
import contextlib
import dataclasses
import functools
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from infra.bench.chaos_kafka import Absent, Kafka
from infra.embedded import HOST, OLDEST_REDIS, connection, free_port, major, redis_answers
from infra.processes import Launch, RunningServer, ServerFailed, private, spawn, until_ready
from infra.settings import Settings
from infra.up import launches

APIS, WORKERS = ("api-1", "api-2"), ("worker-1", "worker-2", "worker-3")
LONGEST_ABSENCE_S = 1.5
LOOK_SECONDS = 0.1
LEAVE_SECONDS = 20.0
SERVING_SECONDS = 60.0


class RedisServer:
    """A redis-server at one port on one directory; `fsync` is its `appendfsync`."""

    def __init__(self, data_dir: Path, fsync: str) -> None:
        executable = shutil.which("redis-server")
        if executable is None or major(executable) < OLDEST_REDIS:
            raise Absent(f"no redis-server of version {OLDEST_REDIS} or later on PATH (Debian: redis-server)")
        self._home, self._port = private(data_dir), free_port()
        self.url = f"redis://{HOST}:{self._port}/0"
        self._command = (
            *(executable, "--bind", HOST, "--port", str(self._port), "--dir", str(self._home), "--save", ""),
            *("--appendonly", "yes", "--appendfsync", fsync, "--loglevel", "warning"),
            # a file that may lose its end must not be exchanged for another one meanwhile
            *(() if fsync == "always" else ("--auto-aof-rewrite-percentage", "0")),
        )

    async def start(self) -> RunningServer:
        """Start it and wait until it has loaded what it had written."""
        server = spawn(Launch("redis", self.url, self._home, self._command))
        return await until_ready(server, functools.partial(redis_answers, self._port, server.pid))

    def written(self) -> tuple[Path, int]:
        """The file it appends to and how long that is now."""
        newest = max((self._home / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
        return newest, newest.stat().st_size


class Fleet:
    """Everything that runs, by name. Whatever of ours dies, for whatever reason, is started again after a moment."""

    def __init__(self, settings: Settings, kafka: Kafka, redis: RedisServer, draw: Random) -> None:
        self._kafka, self._redis, self._draw = kafka, redis, draw
        self.settings = settings
        self.servers: dict[str, RunningServer] = {}
        self.children: dict[str, RunningServer] = {}
        self.ports = {name: free_port() for name in APIS}
        self.kills: Counter[str] = Counter()
        self.exits: Counter[str] = Counter()
        self._keeper: asyncio.Task[None] | None = None
        self._lives: Counter[str] = Counter()
        self._back: dict[str, float] = {}

    async def start_servers(self) -> None:
        self.servers["redis"], self.servers["broker"] = await asyncio.gather(self._redis.start(), self._kafka.start())

    async def start_ours(self) -> None:
        """Start our own processes and whoever keeps them running."""
        for name in (*WORKERS, *APIS, "archiver", "publisher"):
            self._spawn(name)
        self._keeper = asyncio.create_task(self._keep())
        await asyncio.gather(*(self.until_serving(name) for name in APIS))

    def _spawn(self, name: str) -> None:
        port = self.ports.get(name, self.settings.port)
        likeness = launches(self.settings.model_copy(update={"port": port}))[name.partition("-")[0]]
        self._lives[name] += 1
        # a log of its own for every life: the next one must not wipe what the last one said
        self.children[name] = spawn(dataclasses.replace(likeness, name=f"{name}.{self._lives[name]}"))

    async def _keep(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            for name, child in list(self.children.items()):
                if child.alive():
                    continue
                if name not in self._back:
                    self.exits[f"{name.partition('-')[0]} {child.process.returncode}"] += 1
                    self._back[name] = now() + self._draw.random() * LONGEST_ABSENCE_S
                elif now() >= self._back[name]:
                    del self._back[name]
                    self._spawn(name)
            await asyncio.sleep(LOOK_SECONDS)

    async def until_serving(self, name: str) -> None:
        """Until an API process listens. Raises `ServerFailed` where it does not within a minute."""
        deadline = asyncio.get_running_loop().time() + SERVING_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            try:
                async with connection(self.ports[name]):
                    return
            except OSError:
                await asyncio.sleep(LOOK_SECONDS)
        raise ServerFailed(f"{name} does not listen:\n{self.children[name].last_words()}")

    def workers(self) -> list[str]:
        return sorted(name for name in self.children if name.startswith("worker"))

    async def kill(self, name: str) -> None:
        """SIGKILL one of ours that lives; the keeper starts it again."""
        while not self.children[name].alive():  # noqa: ASYNC110 reason: a process gives no sign
            await asyncio.sleep(LOOK_SECONDS)
        self.kills[name.partition("-")[0]] += 1
        self.children[name].process.kill()

    async def kill_server(self, name: str) -> None:
        """SIGKILL the broker or Redis, and start it again after a moment on the port and data it had."""
        self.kills[name] += 1
        self.servers[name].process.kill()
        self.servers[name].process.wait()
        await asyncio.sleep(self._draw.random() * LONGEST_ABSENCE_S)
        await self._again(name)

    def written(self) -> tuple[Path, int]:
        """What Redis has written by now: its file and how long that is."""
        return self._redis.written()

    async def lose_power(self, written: tuple[Path, int]) -> None:
        """SIGKILL Redis, take from its file what it wrote since, and start it again: a machine that lost its power
        before the next fsync."""
        self.kills["redis"] += 1
        self.servers["redis"].process.kill()
        self.servers["redis"].process.wait()
        os.truncate(*written)
        await self._again("redis")

    async def _again(self, name: str) -> None:
        """Start a server that died, as often as whoever runs it would."""
        server = self._redis if name == "redis" else self._kafka
        for last in (False, False, True):
            try:
                self.servers[name] = await server.start()
            except ServerFailed:
                if last:
                    raise
                self.exits[f"{name} at its start"] += 1
            else:
                return

    @contextlib.contextmanager
    def held_up(self, name: str) -> Iterator[None]:
        """One of our processes stands still meanwhile, and goes on where it was."""
        process = self.children[name].process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    async def pause(self, name: str, seconds: float) -> None:
        """Hold a process up for longer than its group waits for it."""
        with self.held_up(name):
            self.let_go()
            await asyncio.sleep(seconds)

    def hold(self) -> None:
        """Redis holds still: whoever writes waits for it, with more and more in hand."""
        self.servers["redis"].process.send_signal(signal.SIGSTOP)

    def let_go(self) -> None:
        """Redis goes on."""
        self.servers["redis"].process.send_signal(signal.SIGCONT)

    def join(self) -> None:
        """One more worker."""
        number = 1 + max(int(name.partition("-")[2]) for name in self.workers())
        self._spawn(f"worker-{number}")

    async def leave(self, name: str) -> None:
        """Stop one of ours for good; it finishes what it has begun."""
        await self.children.pop(name).stop(LEAVE_SECONDS)

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        for one in (*self.children.values(), *self.servers.values()):
            if one.alive():
                one.process.send_signal(signal.SIGCONT)
                one.process.kill()
                one.process.wait()

    def last_words(self) -> str:
        """What every process of ours said last."""
        return "\n".join(f"{name}: {child.last_words()}" for name, child in sorted(self.children.items()))
