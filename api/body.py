"""Bodies of the ingest door as they really come: any Content-Type, gzip or not, chunked or not, sometimes with NaN or
half an emoji. Counts bytes, inflates with a limit and decodes each item once; never echoes what it read."""

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson
from fastapi import Request
from starlette.requests import ClientDisconnect

from api.errors import Problem
from engine.errors import Rejected

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31
_MERGED = ("context", "integrations")
MALFORMED = "the body is not JSON in UTF-8; send one JSON object"
_UNREADABLE = (msgspec.DecodeError, orjson.JSONDecodeError, UnicodeDecodeError, RecursionError)


class Envelope(msgspec.Struct):
    """A batch request: the items still as bytes, and what its root says for all of them."""

    batch: list[msgspec.Raw]
    context: Any = None
    integrations: Any = None
    sentAt: Any = None  # noqa: N815 - the wire's name
    writeKey: Any = None  # noqa: N815 - the wire's name


_ENVELOPE = msgspec.json.Decoder(Envelope)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def _too_large(most: int) -> Problem:
    return Problem(400, "too_large", f"the body is larger than {most} bytes; send fewer events at once")


async def _raw(request: Request, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise _too_large(most)
            parts.append(part)
    except ClientDisconnect as error:
        raise Problem(400, "incomplete", "the body ended early; send it again") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def inflate(data: bytes, most: int) -> bytes:
    """The gzip member's content, never more than `most` bytes of it in memory. Raises a 400."""
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        content = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise Problem(400, "bad_gzip", "the body says gzip and is none; compress it again or send it plain") from error
    if len(content) > most:
        raise _too_large(most)
    if not inflater.eof:
        raise Problem(400, "bad_gzip", "the gzip body ends early; send it again")
    return content


async def read_body(request: Request, most: int) -> bytes:
    """The body inflated. Raises a 400 as soon as more than `most` bytes came, compressed or not."""
    data = await _raw(request, most)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise Problem(400, "unsupported_encoding", "this Content-Encoding is not understood; send gzip or none")
    return inflate(data, most) if data.startswith(_GZIP) or encoding == "gzip" else data


def repaired(data: bytes) -> bytes:
    """JSON that stock clients really send and strict readers refuse, made strict: NaN and Infinity become null, half a
    surrogate pair a question mark. Without this one such event would cost its whole batch. Raises a 400."""
    try:
        found = json.loads(data, parse_constant=lambda _: None)
        return json.dumps(found, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    except (ValueError, RecursionError) as error:
        raise Problem(400, "invalid_json", MALFORMED) from error


def read_object(data: bytes) -> dict[str, Any]:
    """One JSON object. Raises a 400."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        found = orjson.loads(repaired(data))
    if not isinstance(found, dict):
        raise Problem(400, "not_an_object", "the body is JSON, but not one object; send { … }")
    return found


def _wrong_shape(error: msgspec.ValidationError) -> Problem:
    if re.search(r"`\$\.batch|field `batch`", str(error)):
        return Problem(400, "invalid_batch", 'a batch needs "batch": a list of events')
    return Problem(400, "not_an_object", "the body is JSON, but not one object; send { … }")


def read_envelope(data: bytes) -> Envelope:
    """A batch request. Raises a 400."""
    try:
        try:
            return _ENVELOPE.decode(data)
        except msgspec.ValidationError:
            raise
        except _UNREADABLE:
            return _ENVELOPE.decode(repaired(data))
    except msgspec.ValidationError as error:
        raise _wrong_shape(error) from error


def read_list(data: bytes) -> list[msgspec.Raw]:
    """A JSON array whose items are still bytes. Raises a 400."""
    try:
        try:
            return _LIST.decode(data)
        except msgspec.ValidationError:
            raise
        except _UNREADABLE:
            return _LIST.decode(repaired(data))
    except msgspec.ValidationError as error:
        raise Problem(400, "not_an_array", "this content type is a JSON array of events; send [ … ]") from error


def read_item(raw: msgspec.Raw, most: int) -> dict[str, Any] | Rejected:
    """One item decoded, or why it cannot be an event."""
    data = memoryview(raw)
    if len(data) > most:
        return Rejected("too_large", f"an event is at most {most} bytes of JSON; leave out what is not needed")
    try:
        item = orjson.loads(data)
    except orjson.JSONDecodeError:
        return Rejected("invalid_json", "the event is not JSON in UTF-8")
    return item if isinstance(item, dict) else Rejected("not_an_object", "an event is a JSON object")


def _shared(envelope: Envelope) -> dict[str, dict[str, Any]]:
    named = {name: getattr(envelope, name) for name in _MERGED}
    return {name: value for name, value in named.items() if isinstance(value, dict) and value}


def _with(shared: Mapping[str, dict[str, Any]], item: dict[str, Any]) -> dict[str, Any]:
    for name, value in shared.items():
        own = item.get(name)
        if own is None:
            item[name] = value
        elif isinstance(own, dict):
            item[name] = {**value, **own}
    return item


def read_items(envelope: Envelope, most: int) -> Sequence[dict[str, Any] | Rejected]:
    """The batch's items with the root's context and integrations under their own; the item wins."""
    items = [read_item(raw, most) for raw in envelope.batch]
    shared = _shared(envelope)
    if not shared:
        return items
    return [_with(shared, item) if isinstance(item, dict) else item for item in items]
