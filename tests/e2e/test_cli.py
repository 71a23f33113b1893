"""The operator's commands beside a running installation."""

from pathlib import Path

import httpx

from tests.e2e.stack import ADMIN, Stack, until


def test_the_doctor_finds_everything_well(stack: Stack) -> None:
    said = stack.cli("doctor")
    for part in ("configuration", "disk", "database", "redis", "broker", "partitions", "archive"):
        assert part in said
    assert " no " not in said


def test_the_doctor_says_what_is_missing(tmp_path: Path) -> None:
    said = Stack(tmp_path).cli("doctor", code=1)
    assert "start `rapport up` or set RAPPORT_REDIS_URL" in " ".join(said.split())


def test_topics_are_listed_with_their_partitions(stack: Stack) -> None:
    stack.send({"type": "track", "userId": "cli-1", "event": "Something"})
    rows = {
        line.split("│")[1].strip(): line.split("│")[2:4] for line in stack.cli("topics").splitlines() if "│" in line
    }
    assert int(rows["events"][0]) == 8
    assert int(rows["links"][0]) == 1
    assert int(rows["events"][1]) > 0
    assert set(rows) == {"events", "inbox", "links", "changes", "rejects"}


def test_a_key_works_until_it_is_revoked(stack: Stack) -> None:
    secret = stack.cli("keys", "add", "an-agent", "--role", "agent", "--purposes", "service").split(":")[1].split()[0]
    headers = {"X-API-Key": secret}

    def answers(code: int) -> bool:
        asked = {"profile": "user_id:cli-1", "placement": "agent_desktop"}
        return httpx.post(f"{stack.url}/v1/decisions", json=asked, headers=headers).status_code == code

    until(lambda: answers(200))
    assert "an-agent" in stack.cli("keys", "list")
    assert secret not in stack.cli("keys", "list")
    assert "an-agent is revoked" in stack.cli("keys", "revoke", "an-agent")
    until(lambda: answers(401))
    assert "no live key" in stack.cli("keys", "revoke", "an-agent", code=1)
    assert "exists" in stack.cli("keys", "add", "an-agent", "--role", "agent", code=1)
    assert "Unknown role" in stack.cli("keys", "add", "another", "--role", "king", code=1)


def test_the_catalogue_is_shown(stack: Stack) -> None:
    said = stack.cli("catalog")
    assert "call_back" in said
    assert ADMIN not in said


def test_a_broken_catalogue_is_named_with_its_line(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "catalogue.yaml").write_text("version: x\nactions: 7\nplacements: []\n")
    (config / "purposes.yaml").write_text("purposes: {service: {name: service, uses: []}}\nother_traits: service\n")
    said = Stack(tmp_path, more={"RAPPORT_CONFIG_DIR": str(config)}).cli("catalog", code=1)
    assert "catalogue.yaml" in said
    assert "2" in said
    assert "Traceback" not in said


def test_where_nothing_runs_it_says_what_to_start(tmp_path: Path) -> None:
    for command in (("topics",), ("rejects", "list"), ("rejects", "resend", "1")):
        said = " ".join(Stack(tmp_path).cli(*command, code=1).split())
        assert "start `rapport up`, or set RAPPORT_KAFKA_URL" in said
