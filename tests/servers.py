"""The real servers that tests run against: started on free loopback ports, stopped by their own process id.

Raises Absent, with the reason, when this machine cannot run one of them.
"""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from infra.bench.chaos_kafka import Absent, Kafka
from infra.embedded import OLDEST_REDIS, free_port, major, start_redis
from infra.processes import RunningServer


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
