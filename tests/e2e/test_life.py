"""Starting, stopping and starting again: what is kept, what is stopped, and what is said when it does not work."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.archive import iterate
from infra.embedded import free_port
from infra.redis_store import connect
from infra.redis_store_stream import PartitionStore
from tests.e2e.stack import ADMIN, RAPPORT, Stack, rapport_up, until
from tests.e2e.test_stack import happened, person

pytestmark = pytest.mark.slow


def descendants(pid: int) -> set[int]:
    """Every process below one, by /proc."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found, waiting = set[int](), [pid]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Stack]:
    with rapport_up(tmp_path) as stack:
        yield stack


def test_ctrl_c_drains_stops_its_own_and_the_next_start_goes_on(mine: Stack) -> None:
    assert mine.process is not None
    bystander = subprocess.Popen(["sleep", "300"])
    mine.send({**person("s-1"), "anonymousId": "s-cookie"})
    mine.profile("user_id:s-1", lambda p: len(p["identifiers"]) == 2)
    key = mine.cli("keys", "add", "kept", "--role", "agent").split(":")[1].split()[0]
    decided = mine.decide("user_id:s-1")
    before = mine.profile("user_id:s-1")
    # a backlog at the moment of the interrupt: accepted, so it must not be lost with the broker's memory
    for start in range(0, 4000, 400):
        mine.send(*(happened(f"s-{n % 50}", "Order Completed", revenue=1) for n in range(start, start + 400)))
    started = descendants(mine.process.pid)
    assert len(started) >= 6
    assert mine.stop() == 0
    assert "What was accepted is kept" in mine.log.read_text()
    assert until(lambda: not any(alive(pid) for pid in started))
    assert alive(bystander.pid)
    bystander.kill()
    bystander.wait()
    assert not (mine.home / "data" / "run.json").exists()

    mine.start()
    after = mine.profile("user_id:s-1", lambda p: p["signals"]["purchases_30d"] > 79)
    assert after["profile_id"] == before["profile_id"]
    assert after["traits"] == before["traits"]
    assert mine.profile("anonymous_id:s-cookie")["profile_id"] == before["profile_id"]
    assert mine.ask("GET", f"/v1/decisions/{decided['decision_id']}")["decision_id"] == decided["decision_id"]
    with mine.client(key) as client:
        assert client.get("/v1/profiles/user_id:s-1").is_success
    mine.send(happened("s-1", "Order Completed", revenue=1))
    mine.profile("user_id:s-1", lambda p: p["signals"]["purchases_30d"] > after["signals"]["purchases_30d"] + 0.5)
    assert ADMIN not in mine.log.read_text()
    _every_event_once(mine, 4000 + 1 + 1 + 1)


def _every_event_once(stack: Stack, events: int) -> None:
    """In the archive, over both logs, when the tails are empty."""
    settings = stack.settings

    async def waiting() -> int:
        redis = connect(settings.redis_url)
        lengths = [await PartitionStore(redis).tail_length(p) for p in range(settings.partitions)]
        await redis.aclose()
        return sum(lengths)

    until(lambda: asyncio.run(waiting()) == 0, patience_s=120)
    rows = [(position, index, event.message_id) for position, index, _, event in iterate(settings.archive)]
    assert len(rows) == len(set(rows)) == len({row[2] for row in rows}) == events
    assert {position.incarnation for position, _, _ in rows} == {1, 2}


def test_a_worker_that_dies_is_started_again(stack: Stack) -> None:
    stack.send(person("w-1"))
    stack.profile("user_id:w-1")
    worker = next(pid for pid in descendants(_pid(stack)) if b"infra.stream.folding" in _command(pid))
    os.kill(worker, signal.SIGKILL)
    stack.send(happened("w-1", "Order Completed", revenue=1))
    stack.profile("user_id:w-1", lambda p: p["signals"]["purchases_30d"] > 0.5)
    assert "starting it again" in stack.log.read_text()


def _pid(stack: Stack) -> int:
    assert stack.process is not None
    return stack.process.pid


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def refused(stack: Stack) -> str:
    """What `rapport up` says when it does not start."""
    done = subprocess.run(
        [RAPPORT, "up"],
        env=stack.environment,
        cwd=stack.home,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_a_taken_port_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        stack = Stack(tmp_path, port=holder.getsockname()[1])
        said = refused(stack)
    assert f"Port {stack.port} is taken by another process. Set RAPPORT_PORT to another one" in said
    assert not (tmp_path / "data" / "run.json").exists()


def test_keys_are_printed_by_the_first_start_that_works(tmp_path: Path) -> None:
    """A start that failed has shown nobody any key."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        refused(KeylessStack(tmp_path, port=holder.getsockname()[1]))
    stack = KeylessStack(tmp_path)
    try:
        stack.start()
        shown = [word for word in stack.log.read_text().split() if word.startswith(("rk_", "rw_"))]
        assert [secret[:3] for secret in shown] == ["rk_", "rw_"]
        with stack.client(shown[0]) as client:
            assert client.get("/v1/models").is_success
        second = Stack(tmp_path, more={"RAPPORT_PORT": str(free_port())})
        assert "Another Rapport uses" in refused(second)
        assert stack.running["pid"] == _pid(stack)
    finally:
        stack.stop()


class KeylessStack(Stack):
    """An installation whose keys nobody chose."""

    @property
    def environment(self) -> dict[str, str]:
        chosen = ("RAPPORT_ADMIN_KEY", "RAPPORT_WRITE_KEY")
        return {name: value for name, value in super().environment.items() if name not in chosen}
