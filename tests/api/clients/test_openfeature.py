"""The stock `openfeature-sdk` with `openfeature-provider-ofrep`, with only its host changed."""

import importlib.util
import os
from importlib import import_module
from typing import Any

import httpx
import pytest

from engine.experiment import arm_of
from tests.api.clients.conftest import Served
from tests.api.seed import events
from tests.api.trying import try_out
from tests.api.world import AGENT, WRITE

PACKAGES = ("openfeature", "openfeature.contrib.provider.ofrep")
VARIANTS: list[dict[str, Any]] = [
    {"id": "off", "share": 0.5, "value": False},
    {"id": "on", "share": 0.5, "value": True},
]


def installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture
def openfeature() -> Any:
    """The SDK; where it must be there, its absence is a failure."""
    if not all(installed(package) for package in PACKAGES):
        give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
        give_up("openfeature-sdk and openfeature-provider-ofrep are not installed")
    api = import_module("openfeature.api")
    yield api
    api.shutdown()


def client(openfeature: Any, served: Served, headers: dict[str, str]) -> Any:
    ofrep = import_module("openfeature.contrib.provider.ofrep")
    openfeature.set_provider(ofrep.OFREPProvider(served.url, headers_factory=lambda: headers))
    return openfeature.get_client()


def about(key: str, **more: Any) -> Any:
    return import_module("openfeature.evaluation_context").EvaluationContext(key, more)


@pytest.fixture
def known(served: Served) -> Served:
    """A customer, and an experiment."""
    answer = httpx.post(f"{served.url}/v1/batch", json={"batch": events()}, auth=(WRITE, ""))
    assert answer.json()["accepted"] == len(events())
    try_out(served.rig, experiments=[{"id": "dark", "variants": VARIANTS, "purpose": "service"}])
    return served


@pytest.mark.parametrize("headers", [{"X-API-Key": AGENT}, {"Authorization": f"Bearer {AGENT}"}], ids=["key", "bearer"])
def test_next_best_content_is_an_object(openfeature: Any, known: Served, headers: dict[str, str]) -> None:
    found = client(openfeature, known, headers).get_object_details("web", {}, about("u-1", reason="billing"))
    assert found.error_code is None
    record = known.rig.state.decisions[found.value["decision_id"]]
    assert found.value["action_id"] == found.variant == record.answer["actions"][0]["action_id"]
    assert found.flag_metadata["decision_id"] == record.decision_id
    assert record.context == {"reason": "billing"}


def test_an_experiment_is_a_boolean(openfeature: Any, known: Served) -> None:
    asked = client(openfeature, known, {"X-API-Key": AGENT})
    plan = known.rig.configuration.current.allocation.plan
    for n in range(20):
        found = asked.get_boolean_details("dark", False, about(f"u-{n}"))
        arm = arm_of(plan, plan.experiments[0], known.rig.id_of(f"user_id:u-{n}"))
        assert (found.variant, found.value, str(found.reason)) == (arm, arm == "on", "SPLIT")


def test_failures_are_told_as_the_sdk_knows_them(openfeature: Any, known: Served) -> None:
    asked = client(openfeature, known, {"X-API-Key": AGENT})
    codes = [
        asked.get_object_details("attic", {}, about("u-1")).error_code,
        asked.get_object_details("web", {}, about("")).error_code,
        asked.get_object_details("web", {}, about("phone:12")).error_code,
        asked.get_boolean_details("web", True, about("u-1")).error_code,
    ]
    assert [code.value for code in codes] == [
        "FLAG_NOT_FOUND",
        "TARGETING_KEY_MISSING",
        "INVALID_CONTEXT",
        "TYPE_MISMATCH",
    ]
    refused = client(openfeature, known, {"X-API-Key": WRITE}).get_object_details("web", {"mine": 1}, about("u-1"))
    assert (refused.value, refused.error_code.value) == ({"mine": 1}, "GENERAL")


def test_where_nothing_may_be_shown_the_default_applies(openfeature: Any, known: Served) -> None:
    said = {"preferences": {"voice": {"all": False}}}
    path = f"{known.url}/v1/profiles/user_id:u-1/consent"
    assert httpx.patch(path, json=said, headers={"X-API-Key": "admin-key"}).status_code == 200
    asked = client(openfeature, known, {"X-API-Key": AGENT})
    found = asked.get_object_details("outbound_call", {"mine": 1}, about("u-1"))
    assert (found.value, found.error_code) == ({"mine": 1}, None)
