"""The inbox: what outside producers write there becomes what HTTP would have made of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.consent import DENIED, Statement
from engine.events import CONSENT_CHANGED, Event
from engine.outcome import Outcome
from engine.ports import ConsentChange
from infra.config import LiveConfiguration
from infra.memory import MemoryState
from infra.memory_ports import MemoryConsents, MemoryDecisions, MemoryLog, MemoryNotices, MemoryPeople
from infra.rejects import Reject
from infra.settings import DEMO_CONFIG
from infra.stream.route import Inside, Router
from tests.infra.stream.bed import SECRET, START, id_of

DEEP = b'{"a":' * 300 + b"1" + b"}" * 300


class Inbox:
    """A router over a world in memory."""

    def __init__(self) -> None:
        self.state = MemoryState(lambda: START)
        self.rejected: list[Reject] = []
        self.consents = MemoryConsents(self.state, MemoryNotices())
        self.incarnation = 1
        self._inside = Inside(
            secret=SECRET,
            configuration=LiveConfiguration(DEMO_CONFIG),
            log=MemoryLog(self.state, MemoryNotices()),
            people=MemoryPeople(self.state),
            consents=self.consents,
            decisions=MemoryDecisions(self.state),
            reject=self._reject,
            clock=lambda: START,
            incarnation=lambda: self.incarnation,
        )

    async def _reject(self, rejects: Sequence[Reject]) -> None:
        self.rejected += rejects

    async def take(self, value: Any, offset: int = 0) -> None:
        raw = value if isinstance(value, bytes) else orjson.dumps(value)
        await Router(self._inside).take(3, offset, raw)

    @property
    def events(self) -> list[Event]:
        return [one.event for one in self.state.history]


TRACK = {"type": "track", "userId": "ann", "event": "Call Started"}


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


async def test_an_event_a_list_and_a_batch_are_taken(inbox: Inbox) -> None:
    await inbox.take(TRACK)
    await inbox.take([TRACK, TRACK], 1)
    await inbox.take({"source": "crm", "batch": [TRACK]}, 2)
    assert [event.source for event in inbox.events] == ["inbox", "inbox", "inbox", "crm"]
    assert {event.home for event in inbox.events} == {id_of("user_id", "ann")}
    assert inbox.state.view(id_of("user_id", "ann")).profile.state.count == 4


async def test_a_record_that_comes_again_changes_nothing(inbox: Inbox) -> None:
    for _ in range(2):
        await inbox.take([TRACK, TRACK], 7)
    assert inbox.state.view(id_of("user_id", "ann")).profile.state.count == 2


async def test_the_same_place_of_a_new_log_is_another_event(inbox: Inbox) -> None:
    await inbox.take(TRACK)
    inbox.incarnation = 2
    await inbox.take(TRACK)
    assert inbox.state.view(id_of("user_id", "ann")).profile.state.count == 2


@pytest.mark.parametrize("value", [b"", b"no json", b"7", b'"text"', b"\xff\xfe", b"null"])
async def test_what_is_no_event_is_rejected(inbox: Inbox, value: bytes) -> None:
    await inbox.take(value)
    (reject,) = inbox.rejected
    assert (reject.position.partition, reject.position.offset, reject.index) == (3, 0, -1)
    assert (reject.code, reject.event) == ("not_json", value)
    assert inbox.events == []


async def test_a_bad_item_is_rejected_alone_and_can_be_sent_again(inbox: Inbox) -> None:
    await inbox.take({"source": "crm", "batch": [TRACK, {"type": "track", "userId": "ann"}, 7]})
    assert [(r.index, r.code) for r in inbox.rejected] == [(1, "missing_event"), (2, "not_an_object")]
    assert len(inbox.events) == 1
    again = orjson.loads(inbox.rejected[0].event)
    again["batch"][0]["event"] = "Call Started"
    await inbox.take(again, 1)
    assert [event.source for event in inbox.events] == ["crm", "crm"]


async def test_an_explicit_refusal_keeps_the_event_out(inbox: Inbox) -> None:
    no = Statement(DENIED, START, "page")
    await inbox.consents.write({id_of("user_id", "ann"): ConsentChange({"analytics": no})})
    await inbox.take({"source": "web", "batch": [TRACK]})
    await inbox.take({"source": "contact_centre", "batch": [TRACK]}, 1)
    assert [event.source for event in inbox.events] == ["contact_centre"]


async def test_an_outcome_of_an_unknown_decision_stays_an_event(inbox: Inbox) -> None:
    named = f"{id_of('user_id', 'ann')}.01ARZ3NDEKTSV4RRFFQ69G5FAV"
    claim = Outcome(named, "call_back", "accepted", START)
    said = {"decision_id": claim.decision_id, "outcome": claim.outcome, "action_id": claim.action_id}
    await inbox.take({**TRACK, "properties": said})
    assert [event.kind for event in inbox.events] == ["track"]


def test_the_demo_has_sources(tmp_path: Path) -> None:
    assert LiveConfiguration(DEMO_CONFIG).current.source("nobody named").alias_type == "anonymous_id"


async def test_a_stop_by_the_inbox_stops_and_leaves_no_text(inbox: Inbox) -> None:
    said = {
        "type": "track",
        "userId": "ann",
        "event": "SMS Received",
        "properties": {"body": "Stop!", "topic": "bills"},
    }
    await inbox.take(said)
    held = inbox.state.held[id_of("user_id", "ann")]
    assert held.preferences == {"sms": {"bills": False}}
    assert [event.properties for event in inbox.events] == [{"topic": "bills", "stop": True}]


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        (
            b'{"type":"track","messageId":"m","userId":"u","properties":' + DEEP + b"}",
            {"type": "track", "messageId": "m"},
        ),
        (DEEP.replace(b'{"a":', b"[").replace(b"}", b"]"), None),
    ],
)
async def test_an_item_deeper_than_can_be_written_does_not_stop_the_partition(
    inbox: Inbox, item: bytes, kept: Any
) -> None:
    await inbox.take(b'[{"type":"page","anonymousId":"a"},' + item + b"]")
    assert len(inbox.events) == 1
    (reject,) = inbox.rejected
    assert orjson.loads(reject.event)["batch"] == [kept]


async def test_the_text_of_a_rejected_message_is_not_kept(inbox: Inbox) -> None:
    await inbox.take({"type": "track", "event": "SMS Received", "properties": {"body": "my secret"}})
    (reject,) = inbox.rejected
    assert b"secret" not in reject.event


async def test_google_consent_mode_counts_at_the_inbox(inbox: Inbox) -> None:
    await inbox.take({**TRACK, "context": {"consent": {"ad_storage": "denied"}}})
    assert [event.consent for event in inbox.events] == [{"advertising": False}]


async def test_a_batch_of_the_inbox_is_judged_in_its_order(inbox: Inbox) -> None:
    said = {"consent": {"categoryPreferences": {"performance": False}}}
    change = {"type": "track", "userId": "ann", "event": CONSENT_CHANGED, "context": said}
    await inbox.take({"source": "web", "batch": [TRACK, change, TRACK]})
    assert [event.name for event in inbox.events] == ["Call Started", CONSENT_CHANGED]
