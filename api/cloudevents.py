"""CloudEvents 1.0 over HTTP in its three modes, as raw events of ours. Knows attributes and their encodings; whether
the event names somebody is the gateway's question."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from api.body import read_item, read_list, read_object
from api.errors import Problem
from engine.errors import Rejected
from engine.events import CLIENT_KINDS

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
REQUIRED = ("specversion", "id", "source", "type")
# a type of ours says which kind of call it is; every other type is the name of something that happened
OWN_TYPE = "dev.rapport."
Attributes = Mapping[str, Any]


def header_text(raw: bytes) -> str:
    """A header value as its sender meant it: quoted or not, percent-encoded UTF-8, or raw UTF-8 or Latin-1 bytes."""
    if len(raw) >= 2 and raw.startswith(b'"') and raw.endswith(b'"'):
        raw = raw[1:-1].replace(b'\\"', b'"').replace(b"\\\\", b"\\")
    data = unquote_to_bytes(raw)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _attributes(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name[3:].decode("latin-1"): header_text(value) for name, value in headers if name.startswith(b"ce-")}


def _data(body: bytes, content_type: str) -> Any:
    """A binary event's data: JSON where the type says so or says nothing, else text as it is."""
    if not body:
        return None
    if content_type in ("", "application/json", "text/json") or content_type.endswith("+json"):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Problem(400, "invalid_json", "the event's data is not JSON; name its Content-Type") from error
    return body.decode("utf-8", "replace")


def _missing(attributes: Attributes) -> str:
    return ", ".join(n for n in REQUIRED if not isinstance(attributes.get(n), str) or not attributes[n])


def _structured_data(event: Attributes) -> Any:
    if event.get("data") is not None or not isinstance(event.get("data_base64"), str):
        return event.get("data")
    try:
        content = b64decode(event["data_base64"], validate=True)
    except ValueError as error:
        raise Rejected("invalid_data", "data_base64 is not base64") from error
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return content.decode("utf-8", "replace")


def raw_event(attributes: Attributes, data: Any) -> dict[str, Any]:
    """A CloudEvent as a tracked event: type is its name, subject the user, extension `anonymousid` the device. The
    message id joins source and id, which is what CloudEvents calls the same event. Raises `Rejected`."""
    missing = _missing(attributes)
    if missing:
        raise Rejected("missing_attribute", f"a CloudEvent needs {missing}")
    if attributes["specversion"] != "1.0":
        raise Rejected("unknown_version", "specversion must be 1.0")
    kind, name = "track", attributes["type"]
    if name.startswith(OWN_TYPE) and name.removeprefix(OWN_TYPE) in CLIENT_KINDS:
        kind = name.removeprefix(OWN_TYPE)
    body = data if isinstance(data, dict) else {} if data is None else {"data": data}
    content = {"properties": body} if kind == "track" else body
    named = {
        "type": kind,
        "event": name,
        "messageId": f"{attributes['source']}#{attributes['id']}",
        "userId": attributes.get("subject") or content.get("userId"),
        "anonymousId": attributes.get("anonymousid") or content.get("anonymousId"),
        "timestamp": attributes.get("time") or content.get("timestamp"),
    }
    return {**content, **named}


def _structured(item: dict[str, Any] | Rejected) -> dict[str, Any] | Rejected:
    if isinstance(item, Rejected):
        return item
    try:
        return raw_event(item, _structured_data(item))
    except Rejected as rejected:
        return rejected


def _alone(item: dict[str, Any] | Rejected) -> list[dict[str, Any] | Rejected]:
    """One event by itself: what is no CloudEvent is a 400, as the binding asks."""
    if isinstance(item, Rejected):
        raise Problem(400, item.code, item.message)
    return [item]


def read(headers: Sequence[tuple[bytes, bytes]], body: bytes, event_bytes: int) -> list[dict[str, Any] | Rejected]:
    """The request's events as raw events; in a batch, what is none is `Rejected` in its place. Raises a 400 or 415."""
    named = next((v for n, v in headers if n == b"content-type"), b"").decode("latin-1")
    content_type = named.partition(";")[0].strip().lower()
    if content_type == BATCH:
        return [_structured(read_item(raw, event_bytes)) for raw in read_list(body)]
    if len(body) > event_bytes:
        raise Problem(400, "too_large", f"an event is at most {event_bytes} bytes")
    if content_type == STRUCTURED:
        return _alone(_structured(read_object(body)))
    attributes = _attributes(headers)
    if "specversion" not in attributes:
        message = f"send ce-* headers with the data, or {STRUCTURED}, or {BATCH}"
        raise Problem(415, "not_a_cloudevent", message)
    try:
        return _alone(raw_event(attributes, _data(body, content_type)))
    except Rejected as rejected:
        raise Problem(400, rejected.code, rejected.message) from rejected
