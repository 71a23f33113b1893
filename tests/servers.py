"""The real servers that tests run against: started on free loopback ports, stopped by their own process id.

Raises Absent, with the reason, when this machine cannot run one of them.
"""

import base64
import functools
import hashlib
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from infra.embedded import HOST, OLDEST_REDIS, broker_answers, free_port, major, start_redis
from infra.processes import Launch, RunningServer, spawn, until_ready

RECIPE = Path(__file__).parent.parent / ".ci" / "kafka"
JAVA_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class Absent(Exception):
    """This machine has not what a server needs."""


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
    java = shutil.which("java")
    if java is None:
        raise Absent("no java on PATH (Debian: apt-get install openjdk-17-jre-headless)")
    port, cluster_id = free_port(), new_cluster_id()
    settings = write_settings(data_dir, port)
    machine = (
        java,
        *JAVA_OPTIONS,
        "-cp",
        f"{kafka_jars()}/*",
        f"-Dlog4j2.configurationFile={RECIPE}/log4j2.properties",
    )
    run((*machine, "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config", str(settings)))
    server = spawn(Launch("kafka", f"kafka://{HOST}:{port}", data_dir, (*machine, "kafka.Kafka", str(settings))))
    return await until_ready(server, functools.partial(broker_answers, port, cluster_id))


def new_cluster_id() -> str:
    """A UUID in the form Kafka wants; a leading dash would be read as an option."""
    return "R" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def write_settings(data_dir: Path, port: int) -> Path:
    controller = free_port()
    lines = (
        (RECIPE / "server.properties").read_text(),
        f"listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        f"advertised.listeners=PLAINTEXT://{HOST}:{port}",
        f"controller.quorum.voters=1@{HOST}:{controller}",
        f"log.dirs={data_dir / 'log'}",
    )
    settings = data_dir / "server.properties"
    settings.write_text("\n".join(lines) + "\n")
    return settings


def kafka_jars() -> Path:
    """The directory of Kafka's jars, fetched by Maven the first time."""
    recipe = RECIPE / "pom.xml"
    cache = Path(os.environ.get("RAPPORT_CACHE") or Path.home() / ".cache" / "rapport")
    jars = cache / f"kafka-{hashlib.sha256(recipe.read_bytes()).hexdigest()[:12]}"
    if not jars.is_dir():
        fetch_jars(recipe, jars)
    return jars


def fetch_jars(recipe: Path, jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Absent("no mvn on PATH to fetch Kafka's jars (Debian: apt-get install maven)")
    fetched = jars.with_name(f"{jars.name}.{os.getpid()}")
    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fetched}")
    run((maven, "--batch-mode", "--quiet", "--file", str(recipe), *goal))
    fetched.rename(jars)


def run(command: tuple[str, ...]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=RECIPE)
    if done.returncode:
        raise Absent(f"{Path(command[0]).name} failed:\n{(done.stdout + done.stderr)[-2000:]}")
