"""The stock `cloudevents` package, its older and its newer interface, in every mode it has."""

from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent as CoreEvent
from cloudevents.v1.conversion import to_binary, to_json, to_structured
from cloudevents.v1.http import CloudEvent

from tests.api.clients.conftest import Served
from tests.api.world import WRITE

ATTRIBUTES: dict[str, Any] = {
    "id": "e-1",
    "source": "/shop",
    "type": "Order Completed",
    "subject": 'Jürgen "x" 100%',
    "anonymousid": "a-1",
}
DATA = {"total": 12.5}
Message = tuple[dict[str, str], bytes]


def core_event() -> CoreEvent:
    when = {"time": datetime(2026, 1, 31, 12, tzinfo=UTC), "specversion": "1.0", "datacontenttype": "application/json"}
    return CoreEvent(ATTRIBUTES | when, DATA)


def older_event() -> CloudEvent:
    # its headers are sent as they are, and HTTP clients refuse text beyond ASCII there
    return CloudEvent(ATTRIBUTES | {"time": "2026-01-31T12:00:00Z", "subject": 'Jurgen "x"'}, DATA)


def core_binary() -> Message:
    message = to_binary_event(core_event())
    return message.headers, message.body


def core_structured() -> Message:
    message = to_structured_event(core_event())
    return message.headers, message.body


def core_batch() -> Message:
    events = [orjson.loads(to_structured_event(core_event()).body)]
    return {"Content-Type": "application/cloudevents-batch+json"}, orjson.dumps(events)


def older_batch() -> Message:
    return {"Content-Type": "application/cloudevents-batch+json"}, b"[" + to_json(older_event()) + b"]"


MODES = {
    "core-binary": core_binary,
    "core-structured": core_structured,
    "core-batch": core_batch,
    "v1-binary": lambda: to_binary(older_event()),
    "v1-structured": lambda: to_structured(older_event()),
    "v1-batch": older_batch,
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_arrives(served: Served, mode: str) -> None:
    headers, body = MODES[mode]()
    answer = httpx.post(f"{served.url}/v1/cloudevents", content=body, headers={**headers, "X-API-Key": WRITE})
    (event,) = served.rig.events()
    subject = ATTRIBUTES["subject"] if mode.startswith("core") else 'Jurgen "x"'
    assert answer.json() == {"success": True, "accepted": 1, "rejected": []}
    assert (event.name, event.properties, event.message_id) == ("Order Completed", DATA, "/shop#e-1")
    assert [(i.type, i.value) for i in event.identifiers] == [("user_id", subject), ("anonymous_id", "a-1")]
    assert event.at == 1_769_860_800_000
