"""A person comes, is decided for, exported and erased on all that `rapport up` starts; late word of them stays out, and
no file of the data directory holds what was said."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.archive import read_events
from tests.e2e.stack import Stack, until

# the archiver gives way to everything else on a busy machine
SLOW_S = 120.0


def exported(stack: Stack, ref: str) -> list[dict[str, Any]]:
    with stack.client() as client:
        text = client.get(f"/v1/profiles/{ref}/export").text
    return [json.loads(line) for line in text.splitlines()]


SAID = (b"l@example.org", b"QQLEAVINGQQ")


def holding(stack: Stack) -> set[str]:
    """The kinds of files in the data directory that hold what the person said: `aof`, `db` …"""
    files = [path for path in (stack.home / "data").rglob("*") if path.is_file()]
    return {path.suffix for path in files if any(said in path.read_bytes() for said in SAID)}


def test_a_person_goes_from_everywhere(stack: Stack) -> None:
    stack.send(
        {"type": "page", "anonymousId": "leaving-cookie"},
        {
            "type": "identify",
            "userId": "leaving-1",
            "anonymousId": "leaving-cookie",
            "traits": {"email": "l@example.org", "name": "QQLEAVINGQQ"},
        },
        {"type": "nothing known", "userId": "leaving-1", "event": "QQLEAVINGQQ"},
    )
    profile = stack.profile("user_id:leaving-1", lambda p: len(p["identifiers"]) == 3)
    decision: str = stack.decide("user_id:leaving-1")["decision_id"]
    ids = {identifier["id"] for identifier in profile["identifiers"]}
    until(lambda: sum(home in ids for home in read_events(stack.settings.archive)["home"].to_pylist()) == 3, SLOW_S)
    kinds = [line["kind"] for line in exported(stack, "user_id:leaving-1")]
    assert (kinds.count("event"), kinds.count("decision"), kinds[-1]) == (2, 1, "end")
    refused = {"purposes": {"marketing": False}, "source": "QQLEAVINGQQ"}
    stack.ask("PATCH", "/v1/profiles/user_id:leaving-1/consent", json=refused)
    until(lambda: {".aof", ".db-wal"} <= holding(stack))
    job = stack.ask("DELETE", "/v1/profiles/email:l@example.org")["erasure_id"]

    def completed() -> dict[str, Any] | None:
        found: dict[str, Any] = stack.ask("GET", f"/v1/erasures/{job}")
        return found if found["status"] == "completed" else None

    found = until(completed, SLOW_S)
    members = found["certificate"]["identifiers"]
    assert len(members) == 3
    rows = {store["store"]: store["rows_removed"] for store in found["certificate"]["stores"]}
    assert rows["archive events"] == 3, rows
    assert (rows["fragments"], rows["rejects"]) == (2, 1)
    assert holding(stack) == set()
    with stack.client() as client:
        assert client.get(f"/v1/profiles/profile_id:{profile['profile_id']}").status_code == 404
        assert client.get(f"/v1/decisions/{decision}").status_code == 410
        late = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        stack.send({"type": "track", "userId": "leaving-1", "event": "Late", "timestamp": late})
        # an erasure reaches a moment beyond the request: a new life begins after it
        until(lambda: datetime.now(UTC) > datetime.fromisoformat(found["erased_before"]))
        stack.send({"type": "track", "userId": "leaving-1", "event": "Anew"})
    again = stack.profile("user_id:leaving-1")
    assert (again["traits"], len(again["identifiers"])) == ({}, 1)
    until(lambda: "Anew" in read_events(stack.settings.archive, ["track"])["name"].to_pylist(), SLOW_S)
    kept = read_events(stack.settings.archive)
    mine = [n for home, n in zip(kept["home"].to_pylist(), kept["name"].to_pylist(), strict=True) if home in members]
    assert sorted(set(mine)) == ["", "Anew"]
