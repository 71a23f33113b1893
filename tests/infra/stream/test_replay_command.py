"""`rapport replay` as an operator meets it: its exit code, its report, and what it says when it cannot."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from engine.records import partition_of
from infra.cli import app
from infra.processes import RunningServer
from infra.redis_store import connect
from infra.topics import fragment_key
from tests.infra.stream.bed import DATABASE, id_of
from tests.infra.stream.rebuilding import PARTITIONS, House, story
from tests.servers import database

ELSEWHERE = 10
ANN = id_of("user_id", "u1")


@pytest.fixture
async def house(embedded_redis: RunningServer, tmp_path: Path) -> AsyncIterator[House]:
    for number in (DATABASE, ELSEWHERE):
        redis = connect(database(embedded_redis.url, number))
        await redis.flushdb()
        await redis.aclose()
    made = House(embedded_redis, tmp_path)
    await made.live_through(story(400, seed=31))
    yield made
    await made.close()


async def replayed(house: House, *arguments: str, **environment: str) -> Result:
    """The command with this installation's settings; it has a loop of its own."""
    told = {
        "RAPPORT_REDIS_URL": house.settings.redis_url,
        "RAPPORT_DATA_DIR": str(house.settings.data_dir),
        "RAPPORT_PARTITIONS": str(PARTITIONS),
        **environment,
    }
    return await asyncio.to_thread(CliRunner().invoke, app, ["replay", *arguments], env=told)


def report(home: Path) -> Any:
    return json.loads((home / "replay.json").read_text())


async def test_an_equal_installation_ends_well(house: House, tmp_path: Path) -> None:
    answer = await replayed(house, "--out", str(tmp_path / "replay.json"))
    assert answer.exit_code == 0, answer.output
    found = report(tmp_path)
    assert [one["rebuilt"] for one in found["partitions"]] == [one["live"] for one in found["partitions"]]
    assert (found["events"], len(found["partitions"]), found["people"]["differing"]) == (400, PARTITIONS, 0)


async def test_a_difference_ends_with_one_and_names_ids_only(house: House, tmp_path: Path) -> None:
    partition = partition_of(ANN, PARTITIONS)
    await house.redis.delete(fragment_key(partition, ANN))
    answer = await replayed(house, "--partition", str(partition), "--out", str(tmp_path / "replay.json"))
    assert answer.exit_code == 1
    assert ANN in answer.output
    assert "example.org" not in answer.output + (tmp_path / "replay.json").read_text()
    (found,) = report(tmp_path)["partitions"]
    assert (found["partition"], found["different"], found["replaced"]) == (partition, [ANN], 0)
    assert report(tmp_path)["people"] is None


async def test_an_installation_is_written_elsewhere(house: House, embedded_redis: RunningServer) -> None:
    into = database(embedded_redis.url, ELSEWHERE)
    answer = await replayed(house, "--into", into)
    assert answer.exit_code == 0, answer.output
    assert "40 fragments" in answer.output
    again = await replayed(house, "--into", into)
    assert (again.exit_code, "name an empty database" in again.output) == (1, True)
    answer = await replayed(house, "--into", into, "--finish")
    assert answer.exit_code == 0, answer.output
    assert "everything else as it stands" in answer.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (("--partition", "9"), {}, "there is no partition 9"),
        (("--into", "redis://nowhere", "--switch"), {}, "neither --switch nor --partition"),
        (("--finish",), {}, "--finish goes with --into"),
        ((), {"RAPPORT_ARCHIVE_URL": "nowhere-at-all"}, "does not reach it"),
        ((), {"RAPPORT_REDIS_URL": "redis://127.0.0.1:1"}, "does not answer"),
    ],
)
async def test_what_cannot_be_replayed_says_why(
    house: House, tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    await house.archiver.round()
    elsewhere = {name: str(tmp_path / v) if v.startswith("nowhere-") else v for name, v in environment.items()}
    answer = await replayed(house, *arguments, **elsewhere)
    assert answer.exit_code == 1
    assert said in answer.output.replace("\n", " ")
