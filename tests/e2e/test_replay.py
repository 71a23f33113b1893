"""Decisions of a running installation replay to the same bytes across catalogue edits, links and withdrawals, over HTTP
and by the command line; and refolding the archive gives the values that were used."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings import DEMO_CONFIG
from tests.e2e.stack import Stack, until
from tests.e2e.test_stack import happened, person

pytestmark = pytest.mark.slow
PEOPLE, DECISIONS = 12, 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("replay")
    rules = home / "rules"
    rules.mkdir()
    for file in DEMO_CONFIG.glob("*.yaml"):
        (rules / file.name).write_text(file.read_text())
    made = Stack(home, more={"RAPPORT_CONFIG_DIR": str(rules)})
    try:
        made.start()
        yield made
    finally:
        if made.process is not None:
            made.stop()


def dearer(rules: Path, value: float) -> None:
    """An edit that leaves the catalogue's version as it is."""
    file = rules / "catalogue.yaml"
    text = file.read_text()
    head, _, rest = text.partition("    value: ")
    file.write_text(f"{head}    value: {value}\n{rest.partition(chr(10))[2]}")


def consent(stack: Stack, user: str, *, yes: bool) -> None:
    with stack.client() as client:
        path = f"/v1/profiles/user_id:{user}/consent"
        tag = client.get(path).headers["etag"]
        body = {"purposes": {"personalization": yes, "marketing": yes}}
        answer = client.patch(path, json=body, headers={"If-Match": tag})
        assert answer.is_success, answer.text


def lived(stack: Stack) -> list[str]:
    """Things happen, people agree, withdraw and turn out to be the same, and decisions are made all along."""
    draw, made = random.Random(5), list[str]()
    stack.send(*(person(f"r-{n}") for n in range(PEOPLE)))
    stack.profile(f"user_id:r-{PEOPLE - 1}")
    for number in range(DECISIONS):
        user = f"r-{draw.randrange(PEOPLE)}"
        stack.send(happened(user, draw.choice(("Order Completed", "Complaint Filed", "Product Viewed")), revenue=9.5))
        if number % 7 == 3:
            consent(stack, user, yes=draw.random() < 0.7)
        if number % 11 == 5:
            body = {"left": f"user_id:{user}", "right": f"anonymous_id:c-{number}", "reason": "seen together"}
            stack.ask("POST", "/v1/profiles/link", json=body)
        if number in (20, 40):
            dearer(stack.home / "rules", 20.0 + number)
            time.sleep(1.5)
        made.append(
            stack.decide(f"user_id:{user}", context={"reason": draw.choice(("billing", "cancel"))})["decision_id"]
        )
    return made


def test_everything_replays_and_nothing_differs_from_the_archive(stack: Stack) -> None:
    made = lived(stack)
    with stack.client("rk_admin_of_the_tests") as client:
        answers = {name: client.post(f"/v1/decisions/{name}/replay") for name in made}
    codes = {answer.status_code for answer in answers.values()}
    assert codes <= {200, 403}
    refused = [answer.json()["code"] for answer in answers.values() if answer.status_code == 403]
    assert set(refused) <= {"withdrawn_since"}
    told = [answer.json() for answer in answers.values() if answer.status_code == 200]
    assert len(told) > DECISIONS / 2
    assert [one.get("difference") for one in told if not one["identical"]] == []
    assert json.loads(stack.cli("replay-decision", made[0], "--json").splitlines()[-1])["identical"] is True
    assert len(list((stack.home / "data" / "rules" / "catalogues").iterdir())) == 3

    def archived() -> str:
        said = stack.cli("parity")
        return said if f"{DECISIONS} decisions refolded" in said else ""

    assert "Every value equal" in until(archived, 60.0)
    with stack.client() as client:
        assert 'rapport_parity_mismatch_ratio{feature="trait_plan"} 0.0' in client.get("/metrics").text
