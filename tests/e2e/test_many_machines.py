"""The same program on the servers of many machines: a Redis Cluster and PostgreSQL. What is asked of it is what every
part of the state has to answer: profile, decision, consent, links, outreach, export, replay, erasure."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.bench.chaos_kafka import Absent
from infra.processes import RunningServer
from infra.redis_store import FAILURES, Runs, connect
from infra.redis_store_published import Marks, PublishedMarks
from infra.stream.everybody import Everybody
from tests.conftest import do_without
from tests.e2e.stack import Stack, until
from tests.servers import cluster_url, new_database, start_redis_cluster

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.postgresql]

PEOPLE = 40
YES = dict.fromkeys(("analytics", "personalization", "profiling", "marketing", "model_training"), True)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[RunningServer]]:
    loop = asyncio.new_event_loop()
    try:
        started = loop.run_until_complete(start_redis_cluster(tmp_path))
    except Absent as absent:
        do_without(absent)
    yield started
    for node in started:
        loop.run_until_complete(node.stop())
    loop.close()


@pytest.fixture
def stack(nodes: list[RunningServer], real_postgresql: RunningServer, tmp_path: Path) -> Iterator[Stack]:
    where = {"RAPPORT_REDIS_URL": cluster_url(nodes), "RAPPORT_DATABASE_URL": new_database(real_postgresql.url)}
    home = tmp_path / "rapport"
    home.mkdir()
    made = Stack(home, more=where)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def life(number: int) -> list[dict[str, Any]]:
    """Who somebody is, what they agreed to and what they bought."""
    user = {"userId": f"m-{number}"}
    traits = {"plan": "plus", "tenure_months": 20, "country": "DE", "monthly_bill": 50.0}
    said = {"consent": {"categoryPreferences": YES}}
    order = {"total": 20.0, "products": [{"category": "tv"}]}
    events: list[dict[str, Any]] = [
        {"type": "identify", "anonymousId": f"cookie-{number}", "traits": traits},
        {"type": "track", "event": "Segment Consent Preference Updated", "context": said},
        {"type": "track", "event": "Order Completed", "properties": order},
    ]
    return [{**user, **event, "messageId": f"m-{number}-{n}"} for n, event in enumerate(events)]


async def test_everybody_who_is_written_to_is_met(nodes: list[RunningServer]) -> None:
    """Also who was never asked for anything: its restart has to show."""
    runs = Runs()
    redis = connect(cluster_url(nodes), runs)
    await runs.ask()
    met = set(runs.seen)
    assert len(met) == len(nodes)
    # what takes part in no call of one slot only
    people: list[str] = []

    async def derive(ids: Sequence[str]) -> None:
        people.extend(ids)

    for partition in range(8):
        await redis.set(f"{{p{partition}}}f:somebody{partition}", b"x")
    assert await Everybody(redis, runs, derive).follow("a policy", range(8), lambda: True) == len(set(people)) == 8
    marks = PublishedMarks(redis)
    await marks.move(1, Marks({0: 3}, {0: 2}))
    assert await marks.read(1) == Marks({0: 3}, {0: 2})
    assert runs.seen == met
    for node in nodes:
        os.kill(node.pid, signal.SIGKILL)
    # whoever waits for servers waits for these too, however often they are asked
    for _ in range(3):
        with pytest.raises(FAILURES):
            await runs.ask()
    await redis.aclose()


def test_everything_works_on_a_redis_cluster_and_postgresql(stack: Stack) -> None:
    stack.send(*[event for number in range(PEOPLE) for event in life(number)])
    for number in range(PEOPLE):
        assert len(stack.profile(f"user_id:m-{number}", lambda p: len(p["members"]) == 2)["identifiers"]) == 2
    decided = stack.decide("user_id:m-1", context={"reason": "billing"})
    assert decided["actions"]
    stack.report(decided, "presented", "accepted")
    assert stack.ask("POST", f"/v1/decisions/{decided['decision_id']}/replay", json={})["identical"]
    asked = "\n".join(json.dumps({"profile": f"user_id:m-{n}", "placement": "agent_desktop"}) for n in range(PEOPLE))
    with stack.client() as client:
        answer = client.post("/v1/decisions/bulk", content=asked, headers={"Content-Type": "application/x-ndjson"})
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [bool(row.get("decision_id")) for row in rows] == [True] * PEOPLE

    stack.ask("PATCH", "/v1/profiles/user_id:m-1/consent", json={"purposes": {"profiling": False}})
    assert "profiling" not in stack.decide("user_id:m-1")["consent"]["purposes_used"]

    pair = {"left": "user_id:m-2", "right": "anonymous_id:spare", "reason": "their tablet"}
    stack.ask("POST", "/v1/profiles/link", json=pair)
    stack.profile("user_id:m-2", lambda p: len(p["members"]) == 3)
    assert "tasks" in stack.ask("GET", "/v1/outreach/renewals")
    with stack.client() as client:
        assert len(client.get("/v1/profiles/user_id:m-4/export").text.splitlines()) > 3
        client.delete("/v1/profiles/user_id:m-4").raise_for_status()
        until(lambda: client.get("/v1/profiles/user_id:m-4").status_code == 404)
    assert "equal" in stack.cli("replay")
    assert stack.stop() == 0
