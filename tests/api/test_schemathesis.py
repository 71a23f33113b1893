"""What the OpenAPI document promises, tried by a machine: no 5xx, no undocumented status, and most
operations reach a 2xx."""

import asyncio
import json
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis.openapi
from openapi_spec_validator import validate
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from api.routes import opt_in, unsubscribe
from api.routes.erasure import ERASURE_EXAMPLE
from infra.model_store import ModelStore
from models.scorer import CARD_FILE
from tests.api.seed import ANN, decide, seed
from tests.api.serving import serving
from tests.api.world import ADMIN, NOW, WRITE, Rig

SEED = 20260131
EXAMPLES = 100
REACHED = 0.8
VERSION = "m20260131-120000-1a2b3c4d"
CHECKED = frozenset(
    {
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "ignored_auth",
    }
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    store = ModelStore(tmp_path_factory.mktemp("models"))
    card = {"version": VERSION, "created": NOW, "metrics": {"auc": 0.7}, "counts": {"judge": 120}}
    store.save(VERSION, {CARD_FILE: json.dumps(card).encode()})

    async def promote(version: str, _force: bool) -> dict[str, Any]:
        store.promote(version, NOW, {"code": "better"})
        return {"promoted": True, "code": "better", "text": "better", "numbers": {}}

    return Rig(models=store, promote=promote)


async def furnished(rig: Rig) -> str:
    """A seeded customer and one decision about it; returns the decision's id."""
    await seed(rig)
    async with rig.client(ADMIN) as client:
        return str((await decide(client))["decision_id"])


async def links(rig: Rig) -> dict[str, str]:
    """Example tokens of the document, and tokens that open something here."""
    async with rig.client(ADMIN) as client:
        asked = {"profiles": [ANN], "channel": "email"}
        unsubscribing = (await client.post("/v1/unsubscribe-links", json=asked)).json()["links"][0]["url"]
        wanted = {"profile": ANN, "purposes": ["marketing"]}
        confirming = (await client.post("/v1/consent/opt-in", json=wanted)).json()["url"]
        for user in ("u-leaving", "u-left"):
            await client.post("/v1/track", json={"userId": user, "event": "Seen"}, auth=(WRITE, ""))
        left = (await client.delete("/v1/profiles/user_id:u-left")).json()["erasure_id"]
    named = {unsubscribe.EXAMPLE_TOKEN: unsubscribing, opt_in.EXAMPLE_TOKEN: confirming, ERASURE_EXAMPLE: left}
    return {example: url.rpartition("/")[2] for example, url in named.items()}


@pytest.fixture(scope="module")
def document(rig: Rig) -> Iterator[tuple[str, dict[str, Any]]]:
    """The address of the application and its document, whose example decision is one that exists here."""
    decision = asyncio.run(furnished(rig))
    app = rig.app
    described = json.dumps(app.openapi()).replace("aaaaaaaaaaaaaaaa.01K0000000000000000000000A", decision)
    for example, link in asyncio.run(links(rig)).items():
        described = described.replace(example, link)
    app.openapi_schema = json.loads(described)
    with serving(app) as url:
        yield url, app.openapi_schema


def test_the_document_is_openapi_3_1(document: tuple[str, dict[str, Any]]) -> None:
    _, described = document
    assert described["openapi"].startswith("3.1")
    validate(described)


def test_every_operation_documents_its_failures_and_has_an_example(document: tuple[str, dict[str, Any]]) -> None:
    _, described = document
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/v1/"):
                continue
            assert {"400", "401", "403", "503"} <= operation["responses"].keys(), f"{method} {path}"
            parameters = [p for p in operation.get("parameters", []) if p["in"] == "path"]
            bodies = list(operation.get("requestBody", {}).get("content", {}).values())
            assert all(p.get("example") or p["schema"].get("examples") for p in parameters), f"{method} {path}"
            assert all(b.get("example") or b.get("examples") for b in bodies), f"{method} {path}"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_application_keeps_what_its_document_promises(document: tuple[str, dict[str, Any]]) -> None:
    url, described = document
    reached: dict[str, set[int]] = defaultdict(set)
    failures: set[str] = set()
    for event in from_schema(_loaded(url)).execute():
        if isinstance(event, events.NonFatalError):
            failures.add(f"{event.label}: {event.value}")
        if isinstance(event, events.ScenarioFinished):
            _note(event, reached, failures)
    operations = {f"{m.upper()} {p}" for p, item in described["paths"].items() for m in item}
    succeeded = {name for name, statuses in reached.items() if any(200 <= s < 300 for s in statuses)}
    assert not failures, "\n".join(sorted(failures))
    assert len(succeeded & operations) >= REACHED * len(operations), sorted(operations - succeeded)


def _loaded(url: str) -> Any:
    config = SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "headers": {"X-API-Key": ADMIN, "Authorization": _basic()},
            "generation": {"max-examples": EXAMPLES, "database": "none", "deterministic": True},
            "phases": {"stateful": {"enabled": False}},
        }
    )
    return schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)


def _basic() -> str:
    return "Basic " + b64encode(f"{WRITE}:".encode()).decode()


def _note(event: events.ScenarioFinished, reached: dict[str, set[int]], failures: set[str]) -> None:
    recorder = event.recorder
    for named, interaction in recorder.interactions.items():
        if interaction.response is not None:
            reached[recorder.cases[named].value.operation.label].add(interaction.response.status_code)
    for named, checks in recorder.checks.items():
        for check in checks:
            if check.name in CHECKED and check.failure_info is not None:
                label = recorder.cases[named].value.operation.label
                failures.add(f"{label}: {check.name}: {check.failure_info.failure.message[:300]}")
