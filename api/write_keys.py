"""Who sends events: the write key in any of the forms stock clients use. Knows headers and the key store; a write key
opens the ingest door and nothing else."""

from base64 import b64decode
from typing import Any

from fastapi import Request

from api.deps import World
from api.errors import Problem
from engine.ports import ApiKey

WRITERS = frozenset({"write", "admin"})


def _basic(value: str) -> str:
    """The user name of Basic credentials; a key sent without base64 or without its colon is taken as well."""
    try:
        return b64decode(value, validate=True).decode().partition(":")[0]
    except ValueError:
        return value.partition(":")[0]


def in_headers(request: Request) -> str:
    """The key's secret text where the headers alone say it: Basic user name or X-API-Key."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic" and value:
        return _basic(value.strip())
    return request.headers.get("x-api-key", "")


def offered(request: Request, in_body: Any) -> str:
    """The key's secret text: what the headers say, else the body's writeKey (a Bearer token beside it is somebody
    else's), else a Bearer token alone. Empty where there is none."""
    named = in_headers(request)
    if named:
        return named
    if isinstance(in_body, str) and in_body:
        return in_body
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


async def writer(request: Request, world: World, in_body: Any = None) -> ApiKey:
    """The key that may write. Raises a 401, or a 403 for a page of another origin."""
    secret = offered(request, in_body)
    key = await world.keys.find(secret) if secret else None
    if key is None or key.role not in WRITERS:
        message = "the write key is missing, unknown or revoked; send it as the Basic user name or as writeKey"
        raise Problem(401, "invalid_write_key", message, headers={"WWW-Authenticate": 'Basic realm="rapport"'})
    origin = request.headers.get("origin")
    if key.allow_origins and origin is not None and origin not in key.allow_origins:
        raise Problem(403, "origin_not_allowed", "pages of this origin may not use the key; allow the origin for it")
    return key
