"""The real servers that tests run against: started on free loopback ports, stopped by their own process id.

Raises Absent, with the reason, when this machine cannot run one of them.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from infra.bench.chaos_kafka import Absent, Kafka
from infra.embedded import OLDEST_REDIS, free_port, major, redis_answers, start_redis
from infra.processes import Launch, RunningServer, spawn, until_ready

# Debian keeps the programs of each version beside each other and off PATH
DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")


def database(url: str, number: int) -> str:
    """The same server's database of this number."""
    return urlsplit(url)._replace(path=f"/{number}").geturl()


async def start_real_redis(data_dir: Path) -> RunningServer:
    """A `redis-server` of version 7 or later from PATH."""
    executable = shutil.which("redis-server")
    if executable is None or major(executable) < OLDEST_REDIS:
        raise Absent(
            f"no redis-server of version {OLDEST_REDIS} or later on PATH (Debian: apt-get install redis-server)"
        )
    return await start_redis(free_port(), data_dir, executable)


async def start_kafka(data_dir: Path) -> RunningServer:
    """One Apache Kafka node in KRaft mode, its log empty."""
    return await Kafka(data_dir).start()


def _postgresql(program: str) -> str:
    found = shutil.which(program) or next(iter(sorted(map(str, DEBIAN_POSTGRESQL.glob(f"*/bin/{program}")))), None)
    if found is None:
        raise Absent(f"no {program} on PATH or in {DEBIAN_POSTGRESQL} (Debian: apt-get install postgresql)")
    return found


async def start_postgresql(home: Path) -> RunningServer:
    """A PostgreSQL server with an empty cluster in `home`, a directory that everybody may reach. It refuses to run as
    root, so root lends it to the user that Debian's package made for it."""
    lent = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups") if os.geteuid() == 0 else ()
    data, port = home / "data", free_port()
    if lent:
        shutil.chown(home, "postgres", "postgres")
    made = [*lent, _postgresql("initdb"), "--pgdata", str(data), "--username=rapport", "--auth=trust", "--no-sync"]
    subprocess.run([*made, "--encoding=UTF8", "--no-locale"], check=True, capture_output=True, timeout=60)
    kept = {"fsync": "off", "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "500"}
    options = [part for name, value in kept.items() for part in ("-c", f"{name}={value}")]
    command = (*lent, _postgresql("postgres"), "-D", str(data), "-p", str(port), *options)
    url = f"postgresql+psycopg://rapport@127.0.0.1:{port}/postgres"

    async def answers() -> bool:
        try:
            with create_engine(url).connect():
                return True
        except OperationalError:
            return False

    return await until_ready(spawn(Launch("postgresql", url, home, command)), answers)


def new_database(url: str) -> str:
    """The URL of a new, empty database on the same server."""
    name = f"t{secrets.token_hex(8)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return urlsplit(url)._replace(path=f"/{name}").geturl()


SLOTS, NODES = 16_384, 3


async def start_redis_cluster(data_dir: Path) -> list[RunningServer]:
    """Three `redis-server` nodes that share the slots of a cluster out; `cluster_url` is where clients begin."""
    executable = shutil.which("redis-server")
    if executable is None or major(executable) < OLDEST_REDIS:
        raise Absent(f"no redis-server of version {OLDEST_REDIS} or later on PATH")
    nodes = []
    for number in range(NODES):
        home, port = data_dir / str(number), free_port()
        home.mkdir()
        command = (executable, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--save", "")
        # the default bus port is out of range for many free ports
        bus = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
        server = spawn(Launch(f"redis-{number}", f"redis://127.0.0.1:{port}/0", home, (*command, *bus)))
        nodes.append(await until_ready(server, partial(redis_answers, port, server.pid)))
    await _share_out(nodes)
    return nodes


async def _share_out(nodes: list[RunningServer]) -> None:
    clients: list[Any] = [Redis.from_url(node.url) for node in nodes]
    first = urlsplit(nodes[0].url)
    bus = int((await clients[0].config_get("cluster-port"))["cluster-port"])
    edges = [SLOTS * number // NODES for number in range(NODES + 1)]
    for client, begin, end in zip(clients, edges, edges[1:], strict=False):
        await client.execute_command("CLUSTER ADDSLOTSRANGE", begin, end - 1)
        if client is not clients[0]:
            await client.execute_command("CLUSTER MEET", first.hostname, first.port, bus)
    for client in clients:
        # reason: there is nothing to wait for but the answer
        while (await client.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await client.aclose()


def cluster_url(nodes: list[RunningServer]) -> str:
    return f"{nodes[0].url}?cluster=true"
