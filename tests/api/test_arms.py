"""What being in an arm changes: the arm is in the record and not in the answer, its decision replays, and nobody who
refuses is treated."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from engine.experiment import CONTROL, ENGINE, NO_CONSENT, in_control
from engine.records import DecisionRecord
from models.replay import replay
from models.scorer import Floats, PriorModel, Rows
from tests.api.seed import ANN, decide, grant
from tests.api.trying import try_out
from tests.api.world import ADMIN, WRITE, Rig


def everybody(**treatment: Any) -> list[dict[str, Any]]:
    return [{"id": "plain", "share": 0.0}, {"id": "treated", "share": 1.0, **treatment}]


class Reversed:
    """A model that thinks the opposite of the assumed rates."""

    version = "m-reversed"
    columns: tuple[str, ...] = ()

    def probabilities(self, rows: Rows) -> Floats:
        return np.linspace(0.1, 0.9, len(rows))


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with rig.client(ADMIN) as opened:
        await grant(opened, "personalization")
        yield opened


def record(rig: Rig, body: dict[str, Any]) -> DecisionRecord:
    return rig.state.decisions[body["decision_id"]]


async def test_the_control_group_is_drawn_uniformly_without_a_model(rig: Rig, client: httpx.AsyncClient) -> None:
    try_out(rig, control={"share": 1.0})
    body = await decide(client, limit=1)
    made = record(rig, body)
    assert (made.arms, made.model, made.policy["exploration"]) == ({CONTROL: CONTROL}, "prior", "uniform")
    pool = [c for c in made.candidates if c.explorable]
    assert body["actions"][0]["propensity"] == pytest.approx(1 / len(pool))


async def test_the_rest_is_served_as_ever(rig: Rig, client: httpx.AsyncClient) -> None:
    try_out(rig, control={"share": 0.0}, experiments=[{"id": "x", "variants": everybody(), "default": "plain"}])
    made = record(rig, await decide(client))
    assert made.arms == {"x": "treated"}
    assert made.versions["catalogue_digest"] == rig.configuration.current.catalogue.digest


async def test_shares_of_a_crowd_are_what_the_plan_says(rig: Rig, client: httpx.AsyncClient) -> None:
    try_out(rig, control={"share": 0.3, "purpose": "service"})
    plan = rig.configuration.current.allocation.plan
    rows = b"".join(b'{"profile": "user_id:c-%d", "placement": "web"}\n' % n for n in range(300))
    answer = await client.post("/v1/decisions/bulk", content=rows)
    assert answer.text.count("decision_id") == 300
    for made in rig.state.decisions.values():
        assert made.arms == {CONTROL: CONTROL if in_control(plan, made.profile_id) else ENGINE}
        assert made.policy["exploration"] == ("uniform" if made.arms[CONTROL] == CONTROL else "epsilon")
    assert 50 < sum(made.arms[CONTROL] == CONTROL for made in rig.state.decisions.values()) < 130


async def test_a_lever_and_a_draw_change_what_is_decided(rig: Rig, client: httpx.AsyncClient) -> None:
    try_out(
        rig,
        experiments=[
            {"id": "lever", "variants": everybody(levers={"e_bill": 1000.0})},
            {"id": "draw", "variants": everybody(exploration={"kind": "none"})},
        ],
    )
    body = await decide(client)
    assert body["actions"][0]["action_id"] == "e_bill"
    assert body["actions"][0]["propensity"] == 1.0
    assert record(rig, body).arms == {"lever": "treated", "draw": "treated"}


async def test_a_model_of_its_own(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.past.serve(Reversed())
    try_out(rig, experiments=[{"id": "model", "variants": everybody(model="m-reversed")}])
    made = record(rig, await decide(client))
    assert (made.model, made.arms) == ("m-reversed", {"model": "treated"})


async def test_a_model_that_is_not_there_halts_the_experiment_until_it_is(rig: Rig, client: httpx.AsyncClient) -> None:
    try_out(rig, experiments=[{"id": "model", "variants": everybody(model="m-reversed")}])
    made = record(rig, await decide(client))
    assert (made.model, made.arms) == ("prior", {"model": "outside:halted"})
    rig.past.serve(Reversed())
    rig.clock.at += 10_000
    assert record(rig, await decide(client)).arms == {"model": "treated"}


class Challenger(PriorModel):
    """A version whose probabilities are those of the assumed rates, halved."""

    version = "m-challenger"

    def probabilities(self, rows: Rows) -> Floats:
        return super().probabilities(rows) / 2.0


async def test_champion_and_challenger_split_people_by_share(rig: Rig, client: httpx.AsyncClient) -> None:
    rig.past.serve(Challenger())
    split = [{"id": "champion", "share": 0.8}, {"id": "challenger", "share": 0.2, "model": "m-challenger"}]
    try_out(rig, experiments=[{"id": "rollout", "purpose": "service", "variants": split}])
    rows = b"".join(b'{"profile": "user_id:c-%d", "placement": "web"}\n' % n for n in range(400))
    for _ in range(2):
        assert (await client.post("/v1/decisions/bulk", content=rows)).text.count("decision_id") == 400
    made = list(rig.state.decisions.values())
    served = {one.profile_id: one.model for one in made}
    assert all(one.model == served[one.profile_id] for one in made)
    assert {(one.arms["rollout"], one.model) for one in made} == {("champion", "prior"), ("challenger", "m-challenger")}
    assert 50 < sum(model == "m-challenger" for model in served.values()) < 115
    assert all(replay(one, rig.past).identical for one in made[:20])


async def test_a_challenger_that_uses_a_protected_attribute_is_dealt_to_nobody(
    rig: Rig, client: httpx.AsyncClient
) -> None:
    unfair = Reversed()
    unfair.columns = ("trait_age",)
    rig.past.serve(unfair)
    try_out(rig, experiments=[{"id": "rollout", "variants": everybody(model="m-reversed")}])
    made = record(rig, await decide(client))
    assert (made.model, made.arms) == ("prior", {"rollout": "outside:halted"})


async def test_every_arm_replays(rig: Rig, client: httpx.AsyncClient) -> None:
    levers = everybody(levers={"e_bill": 2.0})
    for share in (0.0, 1.0):
        try_out(rig, control={"share": share}, experiments=[{"id": "lever", "variants": levers}])
        await decide(client)
    made = [r for r in rig.state.decisions.values() if r.arms]
    assert len({r.versions["catalogue_digest"] for r in made}) == 2
    assert all(replay(one, rig.past).identical for one in made)


async def test_who_refuses_is_served_the_default_and_kept_outside(rig: Rig, client: httpx.AsyncClient) -> None:
    await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"personalization": False}})
    try_out(rig, control={"share": 1.0}, experiments=[{"id": "x", "variants": everybody(levers={"e_bill": 9.0})}])
    made = record(rig, await decide(client))
    assert made.arms == {CONTROL: NO_CONSENT, "x": NO_CONSENT}
    assert made.versions["catalogue_digest"] == rig.configuration.current.catalogue.digest
    assert made.policy["exploration"] == "epsilon"


async def test_the_answer_does_not_name_the_arm(rig: Rig, client: httpx.AsyncClient) -> None:
    try_out(rig, experiments=[{"id": "secret-name", "variants": everybody(levers={"e_bill": 9.0})}])
    body = await decide(client)
    shown = await client.get(f"/v1/decisions/{body['decision_id']}")
    for text in (str(body), shown.text):
        assert "secret-name" not in text
        assert "treated" not in text


async def test_a_login_does_not_change_the_arm(rig: Rig, client: httpx.AsyncClient) -> None:
    """A visitor is dealt by the cookie; when she signs in, her stronger identifier takes over and the arm stays."""
    try_out(rig, control={"share": 0.5, "purpose": "service"})
    before: dict[str, str] = {}
    for n in range(20):
        event = {"type": "page", "anonymousId": f"cookie-{n}"}
        assert (await client.post("/v1/batch", json={"batch": [event]}, auth=(WRITE, ""))).json()["accepted"] == 1
        before[f"user_id:v-{n}"] = record(rig, await decide(client, f"anonymous_id:cookie-{n}", "web")).arms[CONTROL]
    rig.clock.at += 1000
    for n in range(20):
        event = {"type": "identify", "anonymousId": f"cookie-{n}", "userId": f"v-{n}"}
        assert (await client.post("/v1/batch", json={"batch": [event]}, auth=(WRITE, ""))).json()["accepted"] == 1
    after = {ref: record(rig, await decide(client, ref, "web")).arms[CONTROL] for ref in before}
    assert after == before
    assert set(after.values()) == {CONTROL, ENGINE}
