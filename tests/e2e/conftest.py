"""One running installation for all tests that only ask it something. Its configuration is a copy that a test may edit
for a moment."""

import shutil
from collections.abc import Iterator

import pytest

from infra.settings import DEMO_CONFIG
from tests.e2e.stack import Stack, rapport_up


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("up")
    config = shutil.copytree(DEMO_CONFIG, home / "config")
    with rapport_up(home, {"RAPPORT_CONFIG_DIR": str(config)}) as running:
        yield running
