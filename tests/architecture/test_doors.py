"""Each third-party library enters through its own door, and the pure rooms stay pure."""

from pathlib import Path

import pytest

from tests.architecture.doors import DOORS, breaches
from tests.architecture.tree import LAYERS, ROOT, modules

PLANTED = {
    "redis around the store": ("infra/elsewhere.py", "import redis.asyncio"),
    "a name that only starts like a door": ("infra/my_redis_store.py", "from redis import Redis"),
    "fastapi below the api": ("infra/door.py", "from fastapi import FastAPI"),
    "feast in the pure room": ("features/compute.py", "import feast"),
    "a library without a door": ("engine/events.py", "import requests"),
    "an import hidden in a function": ("models/serving.py", "def f() -> None:\n    import sqlalchemy"),
    "an import by name": ("engine/events.py", "import importlib\nimportlib.import_module('redis')"),
    "a relative import": ("engine/step.py", "from . import events"),
    "a clock in the engine": ("engine/step.py", "import time"),
    "randomness in the engine": ("engine/decision.py", "from random import choice"),
}


def test_every_import_takes_its_door() -> None:
    assert breaches(modules(ROOT, *LAYERS)) == []


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_a_planted_import_is_found(tmp_path: Path, planted: tuple[str, str]) -> None:
    path, text = planted
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    found = breaches(modules(tmp_path, *LAYERS))
    assert len(found) == 1
    assert found[0].startswith(f"{path}:")


def test_an_import_through_its_door_is_no_breach(tmp_path: Path) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "redis_store_links.py").write_text(
        "import os\nimport redis.asyncio\nfrom engine import ports"
    )
    assert breaches(modules(tmp_path, *LAYERS)) == []


def test_the_engine_opens_four_doors_only() -> None:
    own = {library for library, doors in DOORS.items() if any(door.startswith("engine/") for door in doors)}
    assert own | {"msgspec"} == {"cel_expr_python", "isal", "msgspec", "phonenumbers"}
