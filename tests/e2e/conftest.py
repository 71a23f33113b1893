"""One running installation for all tests that only ask it something."""

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, rapport_up


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with rapport_up(tmp_path_factory.mktemp("up")) as running:
        yield running
