"""Apache Kafka as one KRaft node that may be killed and started again on the same port and log. Knows Java, Maven's
jars and the node's settings; nothing of topics.

Raises Absent, with the reason, where this machine cannot run it.
"""

import base64
import functools
import hashlib
import os
import shutil
import subprocess
import uuid
from pathlib import Path

from infra.embedded import HOST, broker_answers, free_port
from infra.processes import Launch, RunningServer, ServerFailed, spawn, until_ready

RECIPE = Path(__file__).parent.parent.parent / ".ci" / "kafka"
JAVA_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class Absent(ServerFailed):
    """This machine has not what a server needs."""


class Kafka:
    """One node: formatted once, then started as often as it is killed, always at the same `url` on the same log."""

    def __init__(self, data_dir: Path) -> None:
        java = shutil.which("java")
        if java is None:
            raise Absent("no java on PATH (Debian: apt-get install openjdk-17-jre-headless)")
        if not RECIPE.is_dir():
            raise Absent("the recipe for Apache Kafka is part of the source tree; run this from a checkout")
        self._home = data_dir
        self._port, controller = free_port(), free_port()
        self._cluster_id = new_cluster_id()
        self.url = f"kafka://{HOST}:{self._port}"
        settings = write_settings(data_dir, self._port, controller)
        log4j = f"-Dlog4j2.configurationFile={RECIPE}/log4j2.properties"
        machine = (java, *JAVA_OPTIONS, "-cp", f"{kafka_jars()}/*", log4j)
        made = ("--cluster-id", self._cluster_id, "--config", str(settings))
        run((*machine, "kafka.tools.StorageTool", "format", *made))
        self._command = (*machine, "kafka.Kafka", str(settings))

    async def start(self) -> RunningServer:
        """Start it and wait until it answers; what was in its log is there again."""
        server = spawn(Launch("kafka", self.url, self._home, self._command))
        return await until_ready(server, functools.partial(broker_answers, self._port, self._cluster_id))


def new_cluster_id() -> str:
    """A UUID in the form Kafka wants; a leading dash would be read as an option."""
    return "R" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def write_settings(data_dir: Path, port: int, controller: int) -> Path:
    lines = (
        (RECIPE / "server.properties").read_text(encoding="utf-8"),
        f"listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        f"advertised.listeners=PLAINTEXT://{HOST}:{port}",
        f"controller.quorum.voters=1@{HOST}:{controller}",
        f"log.dirs={data_dir / 'log'}",
    )
    settings = data_dir / "server.properties"
    settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
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
    try:
        fetched.rename(jars)
    except OSError:
        # somebody else was quicker
        shutil.rmtree(fetched, ignore_errors=True)
        if not jars.is_dir():
            raise


def run(command: tuple[str, ...]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=RECIPE)
    if done.returncode:
        raise Absent(f"{Path(command[0]).name} failed:\n{(done.stdout + done.stderr)[-2000:]}")
