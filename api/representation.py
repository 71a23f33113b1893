"""JSON answers and their entity tags. Knows HTTP conditionals (RFC 9110) and nothing of what is represented."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Response

_ENCODER = msgspec.json.Encoder()
PRIVATE = {"Cache-Control": "private, no-cache"}


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A struct or plain value as JSON."""
    return Response(_ENCODER.encode(value), status, headers, "application/json")


def strong_tag(value: Any) -> str:
    """An entity tag that changes whenever the representation does."""
    return f'"{hashlib.sha256(_ENCODER.encode(value)).hexdigest()[:20]}"'


def weak_tag(*parts: object) -> str:
    """A weak tag from what decides the meaning of a representation, not its every byte."""
    return f'W/"{hashlib.sha256(repr(parts).encode()).hexdigest()[:20]}"'


def _tags(header: str) -> list[str]:
    return [tag.strip() for tag in header.split(",")]


def is_current(if_none_match: str | None, tag: str) -> bool:
    """Whether If-None-Match names this tag; weak comparison, as a GET uses it."""
    if if_none_match is None:
        return False
    opaque = tag.removeprefix("W/")
    return any(t == "*" or t.removeprefix("W/") == opaque for t in _tags(if_none_match))


def is_expected(if_match: str, tag: str) -> bool:
    """Whether If-Match names this tag; strong comparison."""
    return any(t in ("*", tag) and not t.startswith("W/") for t in _tags(if_match))


def not_modified(tag: str) -> Response:
    return Response(status_code=304, headers={"ETag": tag, **PRIVATE})
