"""The Faust agents: what they hand over, and what a failure does to the process."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import faust
import pytest
from faust.types import TP

from infra.settings import Settings
from infra.stream.agents import Station, in_batches, new_app, one_by_one
from infra.stream.shell import EXIT_CODE
from infra.stream.unbroken import Unbroken


async def nowhere(_assigned: Mapping[TP, int | None]) -> Mapping[TP, int]:
    return {}


async def nothing(*_: int) -> list[tuple[int, bytes]]:
    return []


async def never(*_: int) -> list[tuple[int, bytes]]:
    raise AssertionError("nothing was passed over")


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    settings = Settings(kafka_url="kafka://127.0.0.1:9", data_dir=tmp_path, partitions=4)
    made = new_app(settings, "test", nowhere)
    made.flow_control.resume()
    return made


async def test_a_record_is_handed_over_with_its_place(app: faust.App) -> None:
    taken: list[tuple[int, int, bytes]] = []

    async def take(partition: int, offset: int, value: bytes) -> None:
        taken.append((partition, offset, value))

    agent = one_by_one(app, app.topic("events", value_type=bytes), Station("advance", take, Unbroken(nothing)))
    async with agent.test_context() as context:
        await context.put(b"one", partition=2)
        await context.put(b"two", partition=2)
        await context.put(b"", partition=3)
    assert taken == [(2, 0, b"one"), (2, 1, b"two"), (3, 2, b"")]


async def test_what_was_passed_over_is_taken_before_what_comes_after_it(app: faust.App) -> None:
    taken: list[tuple[int, int, bytes]] = []
    read: list[tuple[int, int, int]] = []

    async def take(partition: int, offset: int, value: bytes) -> None:
        taken.append((partition, offset, value))

    async def missed(partition: int, first: int, end: int) -> list[tuple[int, bytes]]:
        read.append((partition, first, end))
        return [(offset, b"missed") for offset in range(first, end)]

    unbroken = Unbroken(missed)
    unbroken.begin({2: None, 3: 1})
    agent = one_by_one(app, app.topic("inbox", value_type=bytes), Station("route", take, unbroken))
    async with agent.test_context() as context:
        for partition in (2, 3, 2, 2, 3):
            await context.put(b"came", partition=partition)
    assert read == [(2, 1, 2), (3, 2, 4)]
    assert [place[:2] for place in taken] == [(2, 0), (3, 1), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3), (3, 4)]


async def test_notices_that_were_passed_over_are_handed_over_too(app: faust.App) -> None:
    taken: list[bytes] = []

    async def take(values: list[bytes]) -> None:
        taken.extend(values)

    async def missed(_partition: int, first: int, end: int) -> list[tuple[int, bytes]]:
        return [(offset, b"missed") for offset in range(first, end)]

    agent = in_batches(app, app.topic("changes", value_type=bytes), take, Unbroken(missed), 0.05)
    async with agent.test_context() as context:
        await context.put(b"one", partition=0)
        await context.put(b"two", partition=1)
    assert taken == [b"one", b"missed", b"two"]


async def test_notices_are_handed_over_together(app: faust.App) -> None:
    taken: list[bytes] = []

    async def take(values: list[bytes]) -> None:
        taken.extend(values)

    agent = in_batches(app, app.topic("changes", value_type=bytes), take, Unbroken(never), 0.05)
    async with agent.test_context() as context:
        for number in range(3):
            await context.put(b"%d" % number)
    assert taken == [b"0", b"1", b"2"]


SCRIPT = """
import asyncio, sys
from infra.stream.agents import Station, new_app, one_by_one
from infra.stream.unbroken import Unbroken
from infra.stream.shell import Fatal
from infra.settings import Settings

async def nowhere(_assigned):
    return {}

async def take(partition, offset, value):
    raise Fatal("records are missing") if sys.argv[1] == "fatal" else ValueError("ann@example.org")

async def main():
    app = new_app(Settings(kafka_url="kafka://127.0.0.1:9", partitions=1), "test", nowhere)
    app.flow_control.resume()
    agent = one_by_one(app, app.topic("events", value_type=bytes), Station("advance", take, Unbroken(take)))
    async with agent.test_context() as context:
        await context.put(b"one", partition=0)
    print("went on")

asyncio.run(main())
"""


@pytest.mark.parametrize(("kind", "says"), [("fatal", "records are missing"), ("bug", "ValueError")])
def test_what_cannot_go_on_ends_the_process_and_names_no_data(tmp_path: Path, kind: str, says: str) -> None:
    """An exception that left the agent would cost the record; a process that ends reads it again."""
    environment = {**os.environ, "RAPPORT_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == EXIT_CODE
    assert says in done.stderr
    assert "went on" not in done.stdout
    assert "example.org" not in done.stderr + done.stdout
