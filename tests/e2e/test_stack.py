"""The spine in one piece: an event in, a next-best action out, an outcome back, on everything `rapport up` starts."""

import asyncio
import http.client
import json
import math
import threading
import time
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from engine.decision_id import profile_of
from engine.records import partition_of
from features.views import PROFILE
from infra.archive import find_decision, read_events
from infra.kafka_log import bootstrap
from infra.model_store import ModelStore
from infra.redis_store import connect
from infra.redis_store_features import RedisFeatures
from infra.rejects import Reject, list_rejects
from infra.topics import decision_key
from tests.e2e.stack import Stack, until

HTTPX_KEEPS_S = 5.5
TRAITS = {"plan": "premium", "country": "US", "tenure_months": 30}


def person(user: str, **traits: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": user, "traits": {**TRAITS, **traits}}


def happened(user: str, name: str, **properties: Any) -> dict[str, Any]:
    return {"type": "track", "userId": user, "event": name, "properties": properties}


def produce(stack: Stack, topic: str, *values: bytes, partition: int | None = None) -> None:
    """What a program of somebody else's writes to a topic."""

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap(stack.settings.kafka_url))
        await producer.start()
        for value in values:
            await producer.send_and_wait(topic, value, partition=partition)
        await producer.stop()

    asyncio.run(send())


def test_events_become_a_profile(stack: Stack) -> None:
    said = stack.send(
        person("e-1", email="e1@example.org"),
        happened("e-1", "Order Completed", revenue=29.73, currency="USD"),
        {"type": "track", "userId": "e-1"},
    )
    assert (said["accepted"], [r["code"] for r in said["rejected"]]) == (2, ["missing_event"])
    profile = stack.profile("user_id:e-1", lambda p: p["signals"]["purchases_30d"])
    assert profile["traits"]["plan"] == "premium"
    assert profile["signals"]["purchases_30d"] == pytest.approx(1.0, abs=1e-3)
    assert stack.profile("email:E1@example.org")["profile_id"] == profile["profile_id"]


def test_signing_in_joins_what_was_anonymous(stack: Stack) -> None:
    stack.send({"type": "page", "anonymousId": "l-cookie", "name": "Pricing"})
    before = stack.profile("anonymous_id:l-cookie")
    stack.send({**person("l-1"), "anonymousId": "l-cookie"})
    joined = stack.profile("anonymous_id:l-cookie", lambda p: p["profile_id"] != before["profile_id"])
    assert {i["type"] for i in joined["identifiers"]} == {"user_id", "anonymous_id"}
    assert joined["profile_id"] == stack.profile("user_id:l-1")["profile_id"]
    assert stack.ask("GET", f"/v1/profiles/profile_id:{before['profile_id']}")["profile_id"] == joined["profile_id"]


def test_an_idle_connection_outlives_what_clients_keep(stack: Stack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.auto_open = 0
    connection.connect()
    for pause in (HTTPX_KEEPS_S, 0):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, answer.read() != b"") == (200, True)
        time.sleep(pause)
    connection.close()


def test_somebody_unknown_gets_an_answer(stack: Stack) -> None:
    decided = stack.decide("user_id:nobody-knows")
    assert len(decided["actions"]) >= 3
    assert sum(a["propensity"] > 0 for a in decided["actions"]) == len(decided["actions"])


def test_an_outcome_reaches_the_profile_and_everybody_s_features(stack: Stack) -> None:
    stack.send(person("o-1"))
    stack.profile("user_id:o-1")
    decided = stack.decide("user_id:o-1")
    action = decided["actions"][0]["action_id"]
    before = cross(stack).get((action, "premium"), (0.0, 0.0))
    stack.report(decided, "presented", "accepted")
    stack.report(decided, "accepted")

    def counted() -> bool:
        return cross(stack).get((action, "premium"), (0.0, 0.0)) == (before[0] + 1, before[1] + 1)

    until(counted)
    assert stack.profile("user_id:o-1", lambda p: p["signals"]["responses_accepted_30d"] > 0)
    events = stack.ask("GET", "/v1/profiles/user_id:o-1/events")["events"]
    assert [e["name"] for e in events if e["kind"] == "outcome"].count("accepted") == 1


def cross(stack: Stack) -> dict[tuple[str, str], tuple[float, float]]:
    async def read() -> dict[tuple[str, str], tuple[float, float]]:
        redis = connect(stack.settings.redis_url)
        found = await RedisFeatures(redis).cross_counts()
        await redis.aclose()
        return found

    return asyncio.run(read())


def test_a_tracked_event_that_names_a_decision_is_its_outcome(stack: Stack) -> None:
    stack.send(person("t-1"))
    stack.profile("user_id:t-1")
    decided = stack.decide("user_id:t-1")
    about = {"decision_id": decided["decision_id"], "action_id": decided["actions"][0]["action_id"]}
    stack.send(happened("t-1", "Promotion Clicked", **about))
    stack.profile("user_id:t-1", lambda p: p["signals"]["events_30d"] > 1)
    events = until(lambda: _outcomes(stack, "user_id:t-1"))
    assert [event["name"] for event in events] == ["clicked"]


def _outcomes(stack: Stack, reference: str) -> list[dict[str, Any]]:
    events = stack.ask("GET", f"/v1/profiles/{reference}/events")["events"]
    return [event for event in events if event["kind"] == "outcome"]


def test_a_withdrawal_holds_at_the_very_next_decision(stack: Stack) -> None:
    stack.send(person("c-1"), happened("c-1", "Product Viewed", category="tv"))
    stack.profile("user_id:c-1", lambda p: p["signals"]["product_views_30d"])
    before = stack.decide("user_id:c-1")["consent"]
    answer = stack.ask("PATCH", "/v1/profiles/user_id:c-1/consent", json={"purposes": {"personalization": False}})
    assert answer["purposes"]["personalization"]["status"] == "denied"
    after = stack.decide("user_id:c-1")["consent"]
    assert "personalization" in before["purposes_used"]
    assert "personalization" not in after["purposes_used"]
    assert after["hash"] != before["hash"]
    assert set(after["features_masked"]) > set(before["features_masked"])


def test_rows_follow_an_edited_policy_though_nothing_happens(stack: Stack) -> None:
    stack.send(person("law-1"), happened("law-1", "Product Viewed", category="tv"))
    whose = stack.profile("user_id:law-1", lambda p: p["signals"]["product_views_30d"])["profile_id"]
    until(lambda: not math.isnan(published(stack, whose)))
    policy = stack.home / "config" / "purposes.yaml"
    before, opted = policy.read_text(), "default: {GDPR: false, US: true, strict: false}"
    try:
        policy.write_text(before.replace(opted, "default: {GDPR: false, US: false, strict: false}"))
        until(lambda: math.isnan(published(stack, whose)))
        assert "personalization" not in stack.decide("user_id:law-1")["consent"]["purposes_used"]
    finally:
        policy.write_text(before)
    until(lambda: not math.isnan(published(stack, whose)))


def published(stack: Stack, profile_id: str) -> float:
    """What Feast's row has of the views of products; not a number where it is closed, or nothing is there yet."""

    async def read() -> float:
        redis = connect(stack.settings.redis_url)
        found = await RedisFeatures(redis).read_profile(profile_id)
        await redis.aclose()
        return math.nan if found is None else float(found.values[PROFILE.names.index("product_views_30d")])

    return asyncio.run(read())


def test_a_withdrawal_of_somebody_never_seen_holds(stack: Stack) -> None:
    stack.ask("PATCH", "/v1/profiles/user_id:c-new/consent", json={"purposes": {"marketing": False}})
    stack.send(person("c-new"))
    stack.profile("user_id:c-new")
    decided = stack.decide("user_id:c-new")
    assert "marketing" not in decided["consent"]["purposes_used"]


def test_an_old_decision_comes_from_the_archive(stack: Stack) -> None:
    decided = stack.decide("user_id:a-1")
    named, settings = decided["decision_id"], stack.settings
    until(lambda: find_decision(settings.archive, named))

    async def forget() -> int:
        redis = connect(settings.redis_url)
        gone = await redis.delete(decision_key(partition_of(profile_of(named), settings.partitions), named))
        await redis.aclose()
        return int(gone)

    assert asyncio.run(forget()) == 1
    assert stack.ask("GET", f"/v1/decisions/{named}")["decision_id"] == named


def test_an_outside_producer_writes_to_the_inbox(stack: Stack) -> None:
    batch = {"source": "crm", "batch": [person("i-1"), happened("i-1", "Call Started", channel="call")]}
    produce(stack, "inbox", json.dumps(batch).encode())
    profile = stack.profile("user_id:i-1", lambda p: p["signals"]["contacts_30d"] > 0)
    assert profile["traits"]["plan"] == "premium"


def test_what_nobody_can_read_is_listed_sent_again_and_stops_nothing(stack: Stack) -> None:
    def listed() -> list[tuple[int, Reject]]:
        return asyncio.run(list_rejects(stack.settings, 1000))

    before = len(listed())
    produce(stack, "events", b"no record of ours", partition=0)
    produce(stack, "inbox", b"no json")
    until(lambda: len(listed()) == before + 2)
    number = next(number for number, reject in listed() if reject.code == "unreadable")
    shown = stack.cli("rejects", "list")
    assert "unreadable" in shown
    assert "not_json" in shown
    assert "no record of ours" not in shown
    assert "Sent" in stack.cli("rejects", "resend", str(number))
    until(lambda: len(listed()) == before + 3)
    stack.send(person("r-1"))
    assert stack.profile("user_id:r-1")


def test_a_promoted_model_serves_without_a_dropped_request(stack: Stack) -> None:
    """Trained by the command line on what this installation logged; decisions go on all the while."""
    _learnable(stack, 1500)
    trained = _trained(stack)
    answers: list[int] = []
    served: list[str] = []
    stop = threading.Event()

    def keep_asking() -> None:
        with stack.client() as client:
            while not stop.is_set():
                asked = {"profile": "user_id:nobody-knows", "placement": "agent_desktop"}
                answer = client.post("/v1/decisions", json=asked)
                answers.append(answer.status_code)
                served.append(answer.json().get("model", ""))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        stack.cli("promote", trained, "--force", "the test says so", "--approver", "the test")
        until(lambda: trained in served[-1:])
        stack.ask("POST", "/v1/models/rollback")
        until(lambda: trained not in served[-1:])
    finally:
        stop.set()
        asking.join()
    assert set(answers) == {200}
    assert trained in [card["version"] for card in stack.ask("GET", "/v1/models")["models"]]


def _learnable(stack: Stack, decisions: int) -> None:
    """Decisions drawn uniformly, with outcomes that depend on the plan."""
    people = [person(f"m-{n}", plan=("basic", "premium")[n % 2]) for n in range(300)]
    stack.send(*people)
    stack.profile("user_id:m-299")
    rows = [{"profile": f"user_id:m-{n % 300}", "placement": "agent_pilot", "limit": 1} for n in range(decisions)]
    body = b"\n".join(json.dumps(row).encode() for row in rows)
    with stack.client() as client:
        answer = client.post(
            "/v1/decisions/bulk", content=body, headers={"Content-Type": "application/x-ndjson"}, timeout=120
        )
        made = [json.loads(line) for line in answer.text.splitlines()]
        assert len(made) == decisions
        for start in range(0, decisions, 200):
            outcomes = [one for n, d in enumerate(made[start : start + 200]) for one in _reaction(d, start + n)]
            taken = client.post("/v1/outcomes", json={"outcomes": outcomes})
            assert taken.is_success, taken.text
    until(lambda: read_events(stack.settings.archive, ("outcome",)).num_rows >= 2 * decisions)


def _reaction(decision: dict[str, Any], number: int) -> list[dict[str, Any]]:
    found = decision.get("decision", decision)
    action = found["actions"][0]["action_id"]
    about = {"decision_id": found["decision_id"], "action_id": action}
    yes = (len(action) + number) % 4 == 0 or (number % 2 == 1 and len(action) % 2 == 0)
    return [{**about, "outcome": "presented"}, {**about, "outcome": "accepted" if yes else "declined"}]


def _trained(stack: Stack) -> str:
    stack.cli("train", "--window", "0")
    return str(ModelStore(stack.settings.models_dir).cards()[0]["version"])


def test_readiness_and_metrics_are_open(stack: Stack) -> None:
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    assert httpx.get(f"{stack.url}/healthz").status_code == 200
    assert "rapport" in httpx.get(f"{stack.url}/metrics").text
