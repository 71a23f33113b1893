"""Stock SDKs against the whole installation, only their host changed: what they send becomes a profile."""

import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from cloudevents.core.bindings.http import to_structured_event
from cloudevents.core.v1.event import CloudEvent
from segment.analytics.client import Client

from tests.e2e.stack import WRITE, Stack

SCRIPT = Path(__file__).parents[1] / "api" / "clients" / "segment.mjs"
PACKAGE = Path(__file__).parents[1] / "node" / "node_modules" / "@segment" / "analytics-node"


def test_segment_for_python(stack: Stack) -> None:
    failures: list[Exception] = []
    client = Client(WRITE, host=stack.url, on_error=lambda error, _batch: failures.append(error), gzip=True)
    client.identify("py-1", {"plan": "premium"})
    client.track("py-1", "Order Completed", {"revenue": 29.73, "currency": "USD"})
    client.alias("py-cookie", "py-1")
    client.join()
    assert failures == []
    profile = stack.profile("user_id:py-1", lambda p: len(p["identifiers"]) == 2 and p["signals"]["purchases_30d"])
    assert profile["traits"]["plan"] == "premium"
    assert stack.profile("anonymous_id:py-cookie")["profile_id"] == profile["profile_id"]


@pytest.mark.node
def test_segment_for_node(stack: Stack) -> None:
    node = shutil.which("node")
    if node is None or not PACKAGE.exists():
        give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
        give_up("Node.js or the packages of tests/node are missing: run npm ci there")
    ran = subprocess.run(
        [str(node), SCRIPT, stack.url, WRITE], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert stack.profile("user_id:u-1", lambda p: "acme" in p["accounts"])


def test_cloudevents(stack: Stack) -> None:
    attributes = {"id": "ce-1", "source": "/shop", "type": "Order Completed", "subject": "ce-1", "specversion": "1.0"}
    message = to_structured_event(CloudEvent(attributes, {"revenue": 12.5, "currency": "USD"}))
    answer = httpx.post(
        f"{stack.url}/v1/cloudevents", content=message.body, headers={**message.headers, "X-API-Key": WRITE}
    )
    assert answer.json()["accepted"] == 1
    assert stack.profile("user_id:ce-1")["signals"]["purchases_30d"] > 0.5
