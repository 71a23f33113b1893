"""Reads a JSON body into a struct: bytes counted, decoded once, refused with a sentence. Never echoes the input."""

from typing import Any, TypeVar

import msgspec
from fastapi import Request

from api.errors import Problem
from api.schemas import IN_WORDS

T = TypeVar("T")
MAX_BODY = 64 * 1024
MAX_DEPTH = 16
_UNKNOWN_FIELD = "Object contains unknown field"
_INT64 = 1 << 63


async def read_bytes(request: Request, most: int = MAX_BODY) -> bytes:
    """The raw body. Raises a 400 as soon as more than `most` bytes have come, whatever Content-Length says."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise Problem(400, "body_too_large", f"the body is larger than {most} bytes; send less at once")
        parts.append(part)
    return b"".join(parts)


def decode(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The struct in the bytes: 400 where they are not JSON, 422 where a value does not fit."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        if message.startswith(_UNKNOWN_FIELD):
            # the field's name is the caller's text
            message = "a field that is not known; /docs shows which are"
        message = next((words for pattern, words in IN_WORDS.items() if repr(pattern) in message), message)
        where = path.rstrip("`") or "$"
        raise Problem(422, "invalid_body", f"{message} at {where}", [{"path": where, "message": message}]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "malformed_json", "the body is not JSON; send a JSON object in UTF-8") from error


async def read_json(request: Request, decoder: msgspec.json.Decoder[T], most: int = MAX_BODY) -> T:
    return decode(await read_bytes(request, most), decoder)


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether every integer fits 64 bits and nothing is nested deeper than 16: what rules and records can hold."""
    if isinstance(value, dict):
        return depth < MAX_DEPTH and all(is_plain(v, depth + 1) for v in value.values())
    if isinstance(value, list):
        return depth < MAX_DEPTH and all(is_plain(v, depth + 1) for v in value)
    return not isinstance(value, int) or -_INT64 <= value < _INT64
