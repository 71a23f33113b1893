"""A server as a child process: started in a directory of its own, waited for, ended by its own process id.

Knows processes and files; knows nothing of what the server is or says.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import functools
import os
import platform
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

READY_SECONDS = 60.0
ANSWER_SECONDS = 2.0
STOP_SECONDS = 10.0
LOCK_SECONDS = 5.0
PAUSE_SECONDS = 0.02
KEPT_LINES = 12
# Servers read settings from the environment too; only what a process needs to run is handed on.
HANDED_ON = ("PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if platform.system() == "Linux" else None


class ServerFailed(RuntimeError):
    """A server of this machine did not start; the message holds its last words and what to try."""


class Server(Protocol):
    """A running server: where it is, which process it is, and the way to end it."""

    @property
    def url(self) -> str: ...

    @property
    def pid(self) -> int: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a process: its name, the `url` it will answer at, its directory, and the lock it keeps."""

    name: str
    url: str
    home: Path
    command: Sequence[str]
    environment: tuple[tuple[str, str], ...] = ()
    lock: int | None = None

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A child process that answers at `url` (`kafka://host:port` or `redis://host:port/0`)."""

    name: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def last_words(self) -> str:
        """The end of what the process wrote."""
        lines = self.log.read_text(errors="replace").splitlines()[-KEPT_LINES:]
        return "\n".join(lines) or "(it wrote nothing)"

    async def stop(self, patience: float = STOP_SECONDS) -> None:
        """Asks this one process to end, waits `patience` seconds, then kills it. Stopping twice is harmless."""
        for end in (self.process.terminate, self.process.kill):
            end()
            if await within(patience, lambda: not self.alive()):
                return


def private(directory: Path) -> Path:
    """The directory, made if need be and readable by its owner only: it holds personal data."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory.resolve()


@contextlib.asynccontextmanager
async def claimed(home: Path) -> AsyncIterator[int]:
    """An exclusive lock on a data directory, as a file descriptor that a child may inherit and so keep.

    Two servers appending to one file would destroy it. Waits a little for a server that is just ending.
    """
    lock = os.open(home / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        if not await within(LOCK_SECONDS, functools.partial(takes, lock)):
            raise ServerFailed(f"Another Rapport uses {home}. Stop it, or set RAPPORT_DATA_DIR to another directory.")
        yield lock
    finally:
        os.close(lock)


def takes(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def spawn(launch: Launch) -> RunningServer:
    """Starts the process in a session of its own, so that Ctrl-C reaches only us and we can drain first.

    Trap: on Linux the child ends with the *thread* that starts it, so call this from the main thread.
    """
    with launch.log.open("wb") as log:
        try:
            process = subprocess.Popen(
                launch.command,
                cwd=launch.home,
                env={name: os.environ[name] for name in HANDED_ON if name in os.environ} | dict(launch.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=() if launch.lock is None else (launch.lock,),
                preexec_fn=functools.partial(end_with, os.getpid()),  # noqa: PLW1509 reason: only a child can ask for it
            )
        except OSError as error:
            raise ServerFailed(f"The {launch.name} could not be run: {error.strerror}: {launch.command[0]}") from error
    return RunningServer(launch.name, launch.url, launch.log, process)


def end_with(parent: int) -> None:
    """Runs in the child before it becomes the server: asks the kernel for a SIGTERM when the parent is gone."""
    if LIBC is None:
        return
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


async def until_ready(server: RunningServer, answers: Callable[[], Awaitable[bool]]) -> RunningServer:
    """Waits until the server answers; ends it and raises ServerFailed when it dies first or stays silent."""
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    try:
        while not await answered(answers):
            if not server.alive():
                raise ServerFailed(
                    f"The {server.name} ended with code {server.process.returncode}:\n{server.last_words()}"
                )
            if asyncio.get_running_loop().time() > deadline:
                raise ServerFailed(f"The {server.name} gave no answer in {READY_SECONDS:.0f} s:\n{server.last_words()}")
            await asyncio.sleep(PAUSE_SECONDS)
    except BaseException:
        server.process.kill()
        server.process.wait()
        raise
    return server


async def answered(answers: Callable[[], Awaitable[bool]]) -> bool:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await answers()
    except (OSError, EOFError, ValueError):
        return False


async def within(seconds: float, done: Callable[[], bool]) -> bool:
    """Whether `done` came true before `seconds` had passed."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not done():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(PAUSE_SECONDS)
    return True
