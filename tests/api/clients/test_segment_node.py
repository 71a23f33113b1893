"""The stock `@segment/analytics-node` with only its host changed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.api.clients.conftest import Served
from tests.api.world import WRITE

SCRIPT = Path(__file__).with_name("segment.mjs")
PACKAGE = Path(__file__).parents[2] / "node" / "node_modules" / "@segment" / "analytics-node"


@pytest.mark.node
def test_every_call_arrives(served: Served) -> None:
    node = shutil.which("node")
    if node is None or not PACKAGE.exists():
        give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
        give_up("Node.js or the packages of tests/node are missing: run npm ci there")
    ran = subprocess.run(
        [str(node), SCRIPT, served.url, WRITE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert sorted((event.kind, event.name) for event in served.rig.events()) == [
        ("alias", ""),
        ("group", "acme"),
        ("identify", ""),
        ("page", "Pricing"),
        ("screen", "Home"),
        ("track", "Note Written"),
        ("track", "Order Completed"),
    ]
