"""Reads a JSON body into a struct: bytes counted, decoded once, refused with a sentence. Never echoes the input."""

import re
from typing import Any, TypeVar

import msgspec
from fastapi import Request

from api.documents import schema_of
from api.errors import Problem

T = TypeVar("T")
MAX_BODY = 64 * 1024
MAX_DEPTH = 16
_UNKNOWN_FIELD = "Object contains unknown field"
_INT64 = 1 << 63
_STEP = re.compile(r"\.(\w+)|\[[^]]*\]")
# what msgspec says of a list is the caller's word, of a pattern the pattern
_NOT_LISTED, _NO_MATCH = "Invalid enum value", "matching regex"


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
        where = path.rstrip("`") or "$"
        if message.startswith(_NOT_LISTED) or _NO_MATCH in message:
            message = _expected(decoder.type, where)
        raise Problem(422, "invalid_body", f"{message} at {where}", [{"path": where, "message": message}]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "malformed_json", "the body is not JSON; send a JSON object in UTF-8") from error


def _expected(kind: Any, where: str) -> str:
    """What is asked for at this place of a body, as its schema says it: a list's words, or a pattern's description."""
    found = [schema_of(kind)]
    for name in _STEP.findall(where):
        below = (_below(choice, name) for one in found for choice in one.get("anyOf", [one]))
        found = [one for one in below if one]
    for choice in (choice for one in found for choice in one.get("anyOf", [one])):
        if "enum" in choice:
            return f"Expected one of {', '.join(map(str, choice['enum']))}"
        if "pattern" in choice and "description" in choice:
            return f"Expected {choice['description']}"
    return "Expected another value"


def _below(schema: Any, name: str) -> Any:
    if name:
        return schema.get("properties", {}).get(name)
    return schema.get("items") or schema.get("additionalProperties")


async def read_json(request: Request, decoder: msgspec.json.Decoder[T], most: int = MAX_BODY) -> T:
    return decode(await read_bytes(request, most), decoder)


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether every integer fits 64 bits and nothing is nested deeper than 16: what rules and records can hold."""
    if isinstance(value, dict):
        return depth < MAX_DEPTH and all(is_plain(v, depth + 1) for v in value.values())
    if isinstance(value, list):
        return depth < MAX_DEPTH and all(is_plain(v, depth + 1) for v in value)
    return not isinstance(value, int) or -_INT64 <= value < _INT64
