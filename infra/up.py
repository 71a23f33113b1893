"""One machine: starts broker, Redis and our own processes, watches them, and stops exactly what it started. Knows
processes and ports; nothing of what they do."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.ports import ApiKey
from infra.embedded import check_port, free_port, start_broker, start_redis
from infra.kafka_log_drained import applied, published, until
from infra.ledger_store import ADMIN, WRITER, SqlKeys, new_secret
from infra.processes import Launch, RunningServer, ServerFailed, answered, private, spawn, until_ready
from infra.settings import Settings
from infra.wiring import open_keys, prepare

RESTARTS, RESTART_WINDOW_S = 5, 60.0
WATCH_SECONDS = 0.5
READY_SECONDS = 60.0
MEMORY_WARNING = 1 << 30
DRAIN_SECONDS = 60.0
RUN_FILE = "run.json"
# how long the embedded broker may hold an empty fetch, and how long nobody asks it after one that found something
EMBEDDED_FETCH_MS, EMBEDDED_PAUSE_MS = 20, 10
KEPT = "Stopped. What was accepted is kept; `rapport up` goes on from here."
NOT_KEPT = "Stopped, but not everything accepted was applied: what the embedded broker still held is lost."
_PYTHON = sys.executable


@dataclass
class Running:
    """What this process started, in starting order, and where the servers are."""

    settings: Settings
    servers: list[RunningServer] = field(default_factory=list)
    children: dict[str, RunningServer] = field(default_factory=dict)
    restarts: list[float] = field(default_factory=list)
    errand: RunningServer | None = None

    async def stop(self) -> bool:
        """Doors first, then what works on what came in, then the servers. Nothing else on the machine is touched.

        An embedded broker forgets its log, so it is worked off before; False where that did not succeed.
        """
        await self._end("api")
        drained = await self._worked_off("worker", applied)
        await self._end("worker")
        drained = await self._worked_off("publisher", published) and drained
        await self._end("publisher")
        await self._end("archiver")
        if self.errand is not None and self.errand.alive():
            await self.errand.stop()
        for server in reversed(self.servers):
            await server.stop(patience=20.0)
        if _running_at(self.settings).get("pid") == os.getpid():
            (self.settings.data_dir / RUN_FILE).unlink(missing_ok=True)
        return drained

    async def _end(self, name: str) -> None:
        child = self.children.get(name)
        if child is not None:
            await child.stop(patience=20.0)

    async def _worked_off(self, name: str, done: Callable[[Settings], Awaitable[bool]]) -> bool:
        child = self.children.get(name)
        broker = next((s for s in self.servers if s.name == "broker"), None)
        if child is None or broker is None:
            return True
        return child.alive() and broker.alive() and await until(done, self.settings, DRAIN_SECONDS)


def _running_at(settings: Settings) -> dict[str, Any]:
    """What a running `rapport up` of this data directory says of itself; nothing where none runs."""
    try:
        said: dict[str, Any] = json.loads((settings.data_dir / RUN_FILE).read_text(encoding="utf-8"))
        os.kill(int(said["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return said


def with_servers(settings: Settings) -> Settings:
    """The settings with the URLs of a running `rapport up` filled in where none are set."""
    running = _running_at(settings)
    unset = [name for name in ("kafka_url", "redis_url") if not getattr(settings, name)]
    return settings.model_copy(update={name: running[name] for name in unset if name in running})


def _environment(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Every setting as a variable, so that a child reads exactly what we read."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("RAPPORT_")}
    for name, value in settings.model_dump().items():
        if value is not None and value != "":
            kept[f"RAPPORT_{name.upper()}"] = str(value.resolve() if isinstance(value, Path) else value)
    return tuple(kept.items())


def launches(settings: Settings) -> dict[str, Launch]:
    """How each of our own processes is started, by name."""
    level = settings.log_level.replace("warning", "warn").replace("critical", "crit")
    faust, worker = (_PYTHON, "-m", "faust", "--loop", "uvloop", "-A"), ("worker", "--without-web", "-l")
    commands: dict[str, tuple[str, ...]] = {
        "worker": (*faust, "infra.stream.folding", *worker, level),
        "publisher": (*faust, "infra.stream.publishing", *worker, level),
        "archiver": (_PYTHON, "-m", "infra.archiver"),
        "api": (_PYTHON, "-m", "api.asgi"),
    }
    return {name: _launch(settings, name, command) for name, command in commands.items()}


def _launch(settings: Settings, name: str, command: tuple[str, ...]) -> Launch:
    home = private(settings.data_dir / "logs")
    return Launch(name, f"http://{settings.host}:{settings.port}", home, command, _environment(settings))


async def _answers(host: str, port: int, path: str) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b" 200 " in await reader.readline()
    finally:
        writer.close()


async def start(settings: Settings, console: Console) -> Running:
    """Start what is missing and wait until everything answers. Stops all of it again if anything does not."""
    check_port(settings.port, host=settings.host)
    private(settings.data_dir)
    running = Running(settings.model_copy(update={"data_dir": settings.data_dir.resolve()}))
    try:
        with console.status("starting Redis and the broker") as status:
            await servers(running)
            settings = running.settings
            await prepare(settings)
            status.update("starting the worker, the publisher, the archiver and the API")
            for name, launch in launches(settings).items():
                running.children[name] = spawn(launch)
            await _until_ready(running)
        urls = {"kafka_url": settings.kafka_url, "redis_url": settings.redis_url, "pid": os.getpid()}
        (settings.data_dir / RUN_FILE).write_text(json.dumps(urls), encoding="utf-8")
        # importing Feast takes seconds, and nothing waits for its registry
        running.errand = spawn(_launch(settings, "feast", (_PYTHON, "-m", "infra.feast_store")))
    except BaseException:
        await running.stop()
        raise
    return running


async def servers(running: Running) -> None:
    """Start the broker and the Redis that the settings do not name, and put where they are into the settings."""
    settings = running.settings
    if not settings.redis_url:
        redis = await start_redis(free_port(), settings.data_dir)
        running.servers.append(redis)
        settings = settings.model_copy(update={"redis_url": redis.url})
    if not settings.kafka_url:
        broker = await start_broker(free_port(), settings.data_dir)
        running.servers.append(broker)
        # the embedded broker holds an empty fetch for the full wait and looks through its log for any other; Apache
        # Kafka answers as soon as there is a byte and knows where it is
        at_pace = {"fetch_wait_ms": EMBEDDED_FETCH_MS, "fetch_pause_ms": EMBEDDED_PAUSE_MS}
        settings = settings.model_copy(update={"kafka_url": broker.url, **at_pace})
    running.settings = settings


async def _until_ready(running: Running) -> None:
    settings = running.settings
    deadline = time.monotonic() + READY_SECONDS
    await until_ready(running.children["api"], lambda: _answers(settings.host, settings.port, "/healthz"))
    while not await answered(lambda: _answers(settings.host, settings.port, "/readyz")):
        for child in running.children.values():
            if not child.alive():
                raise ServerFailed(f"The {child.name} ended while starting:\n{child.last_words()}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"Not ready after {READY_SECONDS:.0f} s; see {settings.data_dir / 'logs'}")
        await asyncio.sleep(0.1)


def first_keys(settings: Settings) -> dict[str, str]:
    """Make the first admin and write key where the settings name none and none was ever made; name -> secret."""
    keys = open_keys(settings)
    known = {key.name for key, _, _ in keys.listed()}
    made: dict[str, str] = {}
    for name, role, given in ((ADMIN, "admin", settings.admin_key), (WRITER, "write", settings.write_key)):
        if not given and name not in known:
            made[name] = _make(keys, ApiKey(name, role, source=name if role == "write" else ""))
    return made


def _make(keys: SqlKeys, key: ApiKey) -> str:
    secret = new_secret(key.role)
    keys.add(key, secret)
    return secret


async def watch(running: Running, stop: asyncio.Event, say: Callable[[str], None]) -> int:
    """Until asked to stop: start again what dies of ours. Returns an exit code; a server's death ends everything."""
    warned = False
    while not stop.is_set():
        for server in running.servers:
            if not server.alive():
                say(f"The {server.name} ended; stopping. Its last words:\n{server.last_words()}")
                return 1
        if not _revive(running, say):
            return 1
        if not warned and _memory(running) > MEMORY_WARNING:
            warned = True
            say("The embedded broker holds more than 1 GiB of log in memory. Restart when quiet, or move to Kafka.")
        try:
            await asyncio.wait_for(stop.wait(), WATCH_SECONDS)
        except TimeoutError:
            continue
    return 0


def _revive(running: Running, say: Callable[[str], None]) -> bool:
    for name, child in running.children.items():
        if child.alive():
            continue
        now = time.monotonic()
        running.restarts = [t for t in running.restarts if now - t < RESTART_WINDOW_S] + [now]
        if len(running.restarts) > RESTARTS:
            say(f"The {name} keeps ending; stopping. Its last words:\n{child.last_words()}")
            return False
        say(f"The {name} ended with code {child.process.returncode}; starting it again.")
        running.children[name] = spawn(launches(running.settings)[name])
    return True


def _memory(running: Running) -> int:
    """Resident bytes of the embedded broker; 0 where there is none or the system does not say."""
    broker = next((s for s in running.servers if s.name == "broker"), None)
    if broker is None:
        return 0
    try:
        pages = int(Path(f"/proc/{broker.pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


async def run_until_signal(settings: Settings, console: Console, ready: Callable[[Running], None]) -> int:
    """`rapport up`: start, tell, watch, and on Ctrl-C or SIGTERM drain and stop everything."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    running = await start(settings, console)
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    try:
        ready(running)
        return await watch(running, stop, console.print)
    finally:
        with console.status("draining and stopping"):
            drained = await running.stop()
        console.print(KEPT if drained else NOT_KEPT)
