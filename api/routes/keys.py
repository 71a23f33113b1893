"""API keys over HTTP, for admins: list, make, revoke. A secret is shown once and never again."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Annotated, Protocol, cast

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response

from api.answers import iso
from api.deps import ROLES, World, WorldNow, require
from api.documents import answer, json_body, problems
from api.errors import Problem
from api.reading import read_json
from api.representation import PRIVATE, json_answer
from api.schemas_models import KeyAsk, KeyLine, KeyList, KeyMade
from engine.events import OWN_SOURCE
from engine.ports import ApiKey

router = APIRouter(prefix="/v1/keys", tags=["access"])
Admin = Annotated[ApiKey, Depends(require("admin"))]
_ASK = msgspec.json.Decoder(KeyAsk)


class KeyRing(Protocol):
    """What the routes need of a key store besides finding a key."""

    def add(self, key: ApiKey, secret: str) -> None: ...
    def revoke(self, name: str) -> bool: ...
    def listed(self) -> Sequence[tuple[ApiKey, int, int | None]]: ...
    def note(self, who: str, what: str, detail: str) -> None: ...


def _ring(world: World) -> KeyRing:
    return cast("KeyRing", world.keys)


def _line(key: ApiKey, created: int, revoked: int | None) -> KeyLine:
    return KeyLine(
        key.name, key.role, list(key.purposes), key.source, iso(created), None if revoked is None else iso(revoked)
    )


@router.get(
    "",
    summary="API keys, without their secrets",
    response_class=Response,
    responses={200: answer(KeyList, "Every key there is or was"), **problems()},
)
async def list_keys(_key: Admin, world: WorldNow) -> Response:
    """Names, roles and purposes; only hashes of the secrets are stored."""
    return json_answer(KeyList([_line(*one) for one in await asyncio.to_thread(_ring(world).listed)]), headers=PRIVATE)


def _check(world: World, ask: KeyAsk, taken: frozenset[str]) -> None:
    if ask.role not in ROLES:
        raise Problem(400, "unknown_role", f"a role is one of {', '.join(sorted(ROLES))}")
    if not set(ask.purposes) <= world.now.purposes.purposes.keys():
        raise Problem(400, "unknown_purpose", f"the purposes here are {', '.join(world.now.purposes.purposes)}")
    if ask.role == "write" and (ask.source or ask.name) == OWN_SOURCE:
        raise Problem(400, "own_source", f"{OWN_SOURCE} is the source of decisions and outcomes; name another source")
    if ask.name in taken:
        raise Problem(409, "name_taken", "a key of this name exists or existed; names are never used twice")


@router.post(
    "",
    summary="Make an API key",
    status_code=201,
    response_class=Response,
    responses={201: answer(KeyMade, "The key with its secret, shown this once"), **problems(409)},
    openapi_extra=json_body(KeyAsk, {"name": "desk-berlin", "role": "agent", "purposes": ["service"]}),
)
async def make_key(request: Request, admin: Admin, world: WorldNow) -> Response:
    """Agent, marketer, preference_center, engineer, admin and auditor read; write sends events and nothing else."""
    ask = await read_json(request, _ASK)
    ring = _ring(world)
    _check(world, ask, frozenset(key.name for key, _, _ in await asyncio.to_thread(ring.listed)))
    writes = ask.role == "write"
    secret = f"{'rw' if writes else 'rk'}_{secrets.token_hex(20)}"
    key = ApiKey(ask.name, ask.role, tuple(ask.purposes), (ask.source or ask.name) if writes else "")
    await asyncio.to_thread(ring.add, key, secret)
    await asyncio.to_thread(ring.note, admin.name, "key made", f"{ask.name} as {ask.role}")
    return json_answer(KeyMade(ask.name, ask.role, secret), 201, {"Cache-Control": "no-store"})


@router.delete(
    "/{name}",
    summary="Revoke an API key",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "Revoked; sessions signed in with it end too"}, **problems(404, 409)},
)
async def revoke_key(
    name: Annotated[str, Path(max_length=64, examples=["desk-berlin"])], admin: Admin, world: WorldNow
) -> Response:
    """It stops working within a second, everywhere."""
    if name == admin.name:
        raise Problem(409, "own_key", "this is the key of this very request; revoke it with another admin key")
    if not await asyncio.to_thread(_ring(world).revoke, name):
        raise Problem(404, "unknown_key", "there is no live key of this name; GET /v1/keys lists them")
    await asyncio.to_thread(_ring(world).note, admin.name, "key revoked", name)
    return Response(status_code=204)
