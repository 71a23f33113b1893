"""Contact caps hold exactly, however many decide at once, and free again; decisions under them replay."""

import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from api.app import create_app
from engine.profile import Contact
from infra.processes import RunningServer
from infra.redis_store import connect
from infra.redis_store_reservations import RedisReservations
from models.replay import replay
from tests.api.seed import ANN, decide, grant, seed
from tests.api.trying import edit_actions, edit_policy
from tests.api.world import ADMIN, WRITE, Rig
from tests.servers import database

DATABASE = 12
QUESTION = {"profile": ANN, "placement": "outbound_call"}
HOUR = 3_600_000
CALLS_A_DAY = 3


@pytest.fixture
async def rig(any_redis: RunningServer) -> AsyncIterator[Rig]:
    """A customer, and promises kept in a real Redis."""
    made = Rig()
    await seed(made)
    redis = connect(database(any_redis.url, DATABASE))
    await redis.flushdb()
    made.world = dataclasses.replace(made.world, reservations=RedisReservations(redis, 8))
    yield made
    await redis.aclose()


def client(rig: Rig) -> httpx.AsyncClient:
    """A client of an application of its own, as another process would be."""
    transport = httpx.ASGITransport(create_app(rig.world))
    return httpx.AsyncClient(transport=transport, base_url="http://rapport", headers={"X-API-Key": ADMIN}, timeout=60)


def shown(bodies: list[dict[str, Any]]) -> list[str]:
    return [action["action_id"] for body in bodies for action in body["actions"]]


async def test_two_hundred_at_once_never_exceed_the_cap(rig: Rig) -> None:
    async with client(rig) as one, client(rig) as other:
        calls = [(one, other)[n % 2].post("/v1/decisions", json=QUESTION) for n in range(200)]
        bodies = [answer.json() for answer in await asyncio.gather(*calls)]
    assert len(shown(bodies)) == CALLS_A_DAY
    empty = [body for body in bodies if not body["actions"]]
    assert len(empty) == 200 - CALLS_A_DAY
    assert all({b["rule"] for b in body["blocked"]} & {"contact_cap"} for body in empty)


async def test_bulk_does_not_exceed_it_either(rig: Rig) -> None:
    lines = "\n".join([json.dumps(QUESTION)] * 150 + [json.dumps({**QUESTION, "profile": "user_id:u-2"})] * 50)
    async with client(rig) as one:
        answers = await asyncio.gather(*(one.post("/v1/decisions/bulk", content=lines) for _ in range(2)))
    rows = [json.loads(line) for answer in answers for line in answer.text.splitlines()]
    assert len(rows) == 400
    about = Counter(row["profile"]["profile_id"] for row in rows for _ in row["actions"])
    assert sorted(about.values()) == [CALLS_A_DAY, CALLS_A_DAY]


async def test_the_next_candidate_moves_up_and_the_refusal_names_its_rule(rig: Rig) -> None:
    """The apology may be offered twice in 30 days; a third call offers something else."""
    async with client(rig) as one:
        bodies = [await decide(one, placement="outbound_call") for _ in range(CALLS_A_DAY)]
    assert shown(bodies) == ["apology_credit", "apology_credit", "call_back"]
    assert {"action_id": "apology_credit", "rule": "cap", "detail": "2 of 2 approaches in 30d used"} in bodies[2][
        "blocked"
    ]


@pytest.mark.parametrize("policy", [{}, {"caps": {}, "channel_caps": {}}], ids=["capped", "uncapped"])
async def test_what_the_person_wishes_for_at_most_is_never_exceeded(rig: Rig, policy: dict[str, Any]) -> None:
    """At once, in one bulk request and one after the other, also where the company itself caps nothing."""
    edit_actions(rig, cap={})
    edit_policy(rig, **policy)
    async with client(rig) as one:
        await one.patch(f"/v1/profiles/{ANN}/consent", json={"frequency": "1/7d"})
        await one.post("/v1/decisions/bulk", content="\n".join([json.dumps(QUESTION)] * 20))
        rig.clock.at += 24 * HOUR
        await asyncio.gather(*(decide(one, placement="outbound_call") for _ in range(20)))
        last = await decide(one, placement="outbound_call")
    records = [r for r in rig.state.decisions.values() if r.placement == "outbound_call"]
    assert len([r for r in records if r.slate]) == 2
    assert "frequency" in {blocked["rule"] for blocked in last["blocked"]}
    assert all(replay(record, rig.past).identical for record in records)


async def test_what_is_shown_without_contacting_anybody_counts_for_an_actions_own_cap_alone(rig: Rig) -> None:
    """Somebody who visits the website may be called all the same."""
    edit_actions(rig, cap={"30d": 1})
    edit_policy(rig, caps={"7d": 1}, channel_caps={"web": {"7d": 1}, "voice": {"7d": 1}})
    async with client(rig) as one:
        await one.patch(f"/v1/profiles/{ANN}/consent", json={"frequency": "1/7d"})
        seen = await decide(one, placement="web", limit=1)
        viewed = {"decision_id": seen["decision_id"], "action_id": shown([seen])[0]}
        event = {"event": "Promotion Viewed", "userId": "u-1", "properties": viewed}
        assert (await one.post("/v1/track", json=event, auth=(WRITE, ""))).status_code == 200
        called = await decide(one, placement="outbound_call")
        blocked = {entry["rule"]: entry["action_id"] for entry in called["blocked"]}
        assert shown([called])
        assert blocked.get("cap", shown([seen])[0]) == shown([seen])[0]
        assert not {"contact_cap", "frequency"} & set(blocked)
        again = await decide(one, placement="web", limit=9)
    assert shown([seen])[0] in {entry["action_id"] for entry in again["blocked"] if entry["rule"] == "cap"}


async def test_what_was_promised_frees_when_it_was_not_kept(rig: Rig) -> None:
    async with client(rig) as one:
        for _ in range(CALLS_A_DAY):
            await decide(one, placement="outbound_call")
        rig.clock.at += 24 * HOUR - 1
        assert shown([await decide(one, placement="outbound_call")]) == []
        rig.clock.at += 1
        assert len(shown([await decide(one, placement="outbound_call") for _ in range(5)])) == CALLS_A_DAY


async def test_what_was_promised_and_kept_counts_once(rig: Rig) -> None:
    async with client(rig) as one:
        first = await decide(one, placement="outbound_call")
        said = {"decision_id": first["decision_id"], "action_id": shown([first])[0], "outcome": "presented"}
        assert (await one.post("/v1/outcomes", json={"outcomes": [said]})).json()["accepted"] == 1
        again = [await decide(one, placement="outbound_call") for _ in range(5)]
    assert len(shown(again)) == CALLS_A_DAY - 1


async def test_a_decision_nobody_got_promises_nothing(rig: Rig) -> None:
    """While the broker is away no answer is given; the tries meanwhile must not use the caps up."""
    lines = "\n".join([json.dumps(QUESTION)] * 3)
    async with client(rig) as one:
        rig.log.problem = "the broker does not answer"
        for _ in range(CALLS_A_DAY):
            assert (await one.post("/v1/decisions", json=QUESTION)).status_code == 503
            assert "unavailable" in (await one.post("/v1/decisions/bulk", content=lines)).text
        rig.log.problem = ""
        bodies = [await decide(one, placement="outbound_call") for _ in range(5)]
    assert len(shown(bodies)) == CALLS_A_DAY


async def test_a_group_is_capped_too(rig: Rig) -> None:
    catalogue = edit_policy(rig, caps={}, channel_caps={}, group_caps={"discount": {"7d": 1}})
    grouped = {a.id for a in catalogue.placed("outbound_call") if a.group == "discount"}
    async with client(rig) as one:
        await grant(one, "marketing", "personalization", "profiling")
        bodies = await asyncio.gather(*(decide(one, placement="outbound_call") for _ in range(20)))
    assert sum(name in grouped for name in shown(list(bodies))) == 1


async def test_every_decision_under_caps_replays(rig: Rig) -> None:
    async with client(rig) as one:
        await asyncio.gather(*(decide(one, placement="outbound_call") for _ in range(20)))
    records = [r for r in rig.state.decisions.values() if r.placement == "outbound_call"]
    assert {len(r.reserved) for r in records} >= {0, CALLS_A_DAY}
    assert all(replay(record, rig.past).identical for record in records)


async def test_altering_what_was_promised_is_noticed(rig: Rig) -> None:
    async with client(rig) as one:
        body = await decide(one, placement="outbound_call")
        await decide(one, placement="outbound_call")
    record = rig.state.decisions[body["decision_id"]]
    assert record.reserved == ()
    taken = tuple(Contact(record.at - n, f"x{n}:call_back", "voice", "call_back", "") for n in range(1, 4))
    found = replay(msgspec.structs.replace(record, reserved=taken), rig.past)
    assert not found.identical
    assert found.difference is not None
    assert found.difference.inputs == ("reserved",)


async def test_a_placement_without_caps_asks_nobody(rig: Rig) -> None:
    """Its promises would be looked up in a Redis that is gone."""
    gone = RedisReservations(connect("redis://127.0.0.1:1/0"), 8)
    rig.world = dataclasses.replace(rig.world, reservations=gone)
    async with client(rig) as one:
        assert shown([await decide(one)])
        assert (await one.post("/v1/decisions", json=QUESTION)).status_code == 503
        edit_policy(rig, caps={}, channel_caps={})
        assert (await one.post("/v1/decisions", json={**QUESTION, "placement": "web"})).status_code == 200
