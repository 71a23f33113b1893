"""A withdrawal holds at the very next decision, however it comes and whatever else goes on: across links, beside a page
that knows an old consent, while the stream worker stands still. `rapport bench --only revocation` does it at load."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.bench.withdrawals import LINKED, introduced, reference
from tests.e2e.stack import Stack

PURPOSE = "personalization"
TRAITS = {"plan": "premium", "country": "US", "tenure_months": 30}


def made(stack: Stack, number: int) -> None:
    """Somebody who, by the law of their country, counts as agreeing until they say no."""
    who = reference("user_id", number)
    stack.send({"type": "identify", "userId": who.partition(":")[2], "traits": TRAITS})
    stack.profile(who)
    assert uses(stack, who)


def uses(stack: Stack, who: str) -> bool:
    return PURPOSE in stack.decide(who)["consent"]["purposes_used"]


def withdraw(stack: Stack, who: str) -> None:
    stack.ask("PATCH", f"/v1/profiles/{who}/consent", json={"purposes": {PURPOSE: False}})


def test_said_under_one_identifier_it_holds_under_every_linked_one(stack: Stack) -> None:
    made(stack, 1)
    stack.send(introduced(1))
    kinds = [reference(kind, 1) for kind in LINKED.asked]
    for who in kinds:
        stack.profile(who, lambda profile: len(profile["members"]) == 2)
        assert uses(stack, who)
    withdraw(stack, reference(LINKED.under, 1))
    assert [uses(stack, who) for who in kinds] == [False, False]


def test_a_page_that_still_sends_its_old_consent_gives_nothing_back(stack: Stack) -> None:
    made(stack, 2)
    who = reference("user_id", 2)
    withdraw(stack, who)
    page: dict[str, Any] = {"type": "page", "userId": "bench-2", "name": "Home"}
    page["context"] = {"consent": {"categoryPreferences": {PURPOSE: True}}}
    before = stack.profile(who)["signals"]["events_total"]
    stack.send(page)
    stack.profile(who, lambda profile: profile["signals"]["events_total"] > before)
    assert not uses(stack, who)
    consent = stack.ask("GET", f"/v1/profiles/{who}/consent")
    assert consent["purposes"][PURPOSE]["status"] == "denied"


@contextlib.contextmanager
def standing_still(stack: Stack) -> Iterator[None]:
    """The stream worker of the installation is stopped, as a process that hangs is."""
    assert stack.process is not None
    children = Path(f"/proc/{stack.process.pid}/task/{stack.process.pid}/children").read_text().split()
    said = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    [worker] = [pid for pid, command in said.items() if b"infra.stream.folding" in command]
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def test_it_holds_while_the_stream_worker_stands_still(stack: Stack) -> None:
    made(stack, 3)
    who = reference("user_id", 3)
    with standing_still(stack):
        assert uses(stack, who)
        withdraw(stack, who)
        assert not uses(stack, who)
