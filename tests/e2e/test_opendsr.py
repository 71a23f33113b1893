"""OpenDSR and the audit of reads on all that `rapport up` starts: a request is carried out by itself, and every read is
kept when the installation is stopped right after."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

from engine.audit import Sought
from infra.ledger_store import open_database
from infra.ledger_store_reads import SqlReads
from tests.e2e.stack import Stack, rapport_up, until

SLOW_S = 120.0
PLACE = "/opendsr/v1/opendsr_requests"


def ask(stack: Stack, kind: str, user: str) -> str:
    identity = {"identity_type": "controller_customer_id", "identity_value": user, "identity_format": "raw"}
    request = {
        "regulation": "gdpr",
        "subject_request_id": str(uuid.uuid4()),
        "subject_request_type": kind,
        "subject_identities": [identity],
        "submitted_time": "2026-10-02T15:00:00Z",
    }
    return str(stack.ask("POST", PLACE, json=request)["subject_request_id"])


def status(stack: Stack, request: str) -> str:
    return str(stack.ask("GET", f"{PLACE}/{request}")["request_status"])


def test_requests_are_carried_out_and_reads_are_kept(tmp_path: Path) -> None:
    with rapport_up(tmp_path) as stack:
        for user in ("u-leaving", "u-staying"):
            stack.send({"type": "identify", "userId": user, "traits": {"plan": "premium"}})
            stack.profile(f"user_id:{user}")
        erasure, access = ask(stack, "erasure", "u-leaving"), ask(stack, "access", "u-leaving")
        kept = ask(stack, "erasure", "u-staying")
        stack.ask("DELETE", f"{PLACE}/{kept}")
        until(lambda: status(stack, access) == "completed", SLOW_S)
        until(lambda: status(stack, erasure) == "completed", SLOW_S)
        assert status(stack, kept) == "cancelled"
        with stack.client() as client:
            assert client.get("/v1/profiles/user_id:u-leaving").status_code == 404
        profile_id = stack.ask("GET", "/v1/profiles/user_id:u-staying")["profile_id"]
        auditor = stack.cli("keys", "add", "looking-on", "--role", "auditor").split(":")[1].split()[0]
        with stack.client(auditor) as client:
            # processes learn of a new key within a second
            until(lambda: client.get("/v1/audit").status_code == 200)
            seen = client.get("/v1/audit", params={"profile": "user_id:u-staying", "limit": 1000})
        assert seen.status_code == 200, seen.text
        earlier = _lines(seen.json())
        for _ in range(5):
            stack.ask("GET", "/v1/profiles/user_id:u-staying")
        database = stack.settings.database
        assert stack.stop() == 0
        reads = SqlReads(open_database(database))
        after = asyncio.run(reads.sought(Sought(profile_ids=(profile_id,), limit=1000)))
        assert len(after) == earlier + 5


def _lines(page: dict[str, Any]) -> int:
    return len(page["reads"])
