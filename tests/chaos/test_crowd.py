"""What the clients of a chaos run send: the same for the same seed, and accepted or refused as they expect."""

from typing import Any

from engine.events import Arrival
from engine.gateway import accept
from engine.identifiers import IdentityRules
from infra.bench.chaos_events import Crowd, Sending

COUNT = 3_000


def items(sending: Sending) -> list[dict[str, Any]]:
    return [] if sending.reason else sending.body.get("batch") or [sending.body]


def test_the_gateway_takes_exactly_what_a_request_says_it_will() -> None:
    arrival, rules, total = Arrival(b"secret", "write", 1_790_000_000_000), IdentityRules(), 0
    for sending in Crowd(COUNT, 1).sendings():
        sent = items(sending)
        kind = sending.path.removeprefix("/v1/")
        events, refused = accept([{"type": kind, **item} for item in sent], arrival, rules, [""] * len(sent))
        assert tuple(event.message_id for event in events) == sending.accepts
        assert len(refused) == sending.refuses
        total += len(sent)
    assert total == COUNT


def test_the_same_seed_says_the_same_things() -> None:
    def said(seed: int) -> list[tuple[str, tuple[str, ...], str]]:
        return [(s.path, s.accepts, s.reason) for s in Crowd(COUNT, seed).sendings()]

    assert said(1) == said(1) != said(2)


def test_everything_that_makes_a_profile_hard_to_get_right_is_in_it() -> None:
    sendings = list(Crowd(COUNT, 1).sendings())
    everything = [item for sending in sendings for item in items(sending)]
    ids = [item["messageId"] for item in everything]
    assert len(set(ids)) < len(ids)
    kinds = {"track", "page", "identify", "alias", "merge"}
    assert kinds <= {str(item.get("type")) for item in everything}
    assert any("timestamp" in item for item in everything)
    assert any(sending.refuses for sending in sendings)
    assert {"/v1/profiles/link", "/v1/profiles/unlink", "", "/v1/batch"} <= {sending.path for sending in sendings}
