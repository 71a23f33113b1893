"""Partitions are shared out from a whole picture of the topics, or not at all."""

import subprocess
import sys
from types import SimpleNamespace

from infra.stream.assignor import unknown
from infra.stream.shell import EXIT_CODE

SCRIPT = """
from types import SimpleNamespace
import faust
from infra.stream.assignor import WholeAssignor

app = faust.App("whole", broker="kafka://127.0.0.1:9", store="memory://")
members = {"m": SimpleNamespace(subscription=["events", "inbox"])}
cluster = SimpleNamespace(partitions_for_topic=lambda topic: {0, 1} if topic == "events" else None)
WholeAssignor(app).assign(cluster, members)
"""


def test_topics_the_broker_told_nothing_about_are_named() -> None:
    known = {"events": {0, 1}, "links": set()}
    cluster = SimpleNamespace(partitions_for_topic=known.get)
    members = {
        "a": SimpleNamespace(subscription=["events", "inbox"]),
        "b": SimpleNamespace(subscription=["links", "events"]),
    }
    assert unknown(cluster, members) == ["inbox", "links"]


def test_a_leader_that_does_not_know_them_starts_again() -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == EXIT_CODE
    assert "assignor stops the worker: the broker does not know yet which partitions inbox have" in ended.stderr
