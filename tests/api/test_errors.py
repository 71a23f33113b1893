"""Every failure is a problem document that repeats nothing and names nobody."""

import logging
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Query

from engine.errors import InvalidReference, InvalidRequest, Rejected
from engine.ports import Unavailable
from tests.api.world import ADMIN, Rig

SECRET_TEXT = "ann@example.org"
RAISED: dict[str, tuple[Exception, int, str]] = {
    "unavailable": (Unavailable("the store does not answer"), 503, "unavailable"),
    "reference": (InvalidReference("a reference has the form type:value"), 400, "invalid_reference"),
    "request": (InvalidRequest("no such placement"), 400, "invalid_request"),
    "rejected": (Rejected("invalid_timestamp", "no time"), 400, "invalid_timestamp"),
    "unforeseen": (RuntimeError(SECRET_TEXT), 500, "internal"),
}
router = APIRouter()


@router.get("/broken/{name}")
async def broken(name: str) -> None:
    raise RAISED[name][0]


@router.get("/named")
async def named(
    word: Literal["yes", "no"] = "yes", text: Annotated[str, Query(max_length=2)] = "", code: UUID | None = None
) -> None:
    pass


@router.get("/counted")
async def counted(count: Annotated[int, Query()]) -> int:
    return count


async def ask(method: str, path: str) -> httpx.Response:
    rig = Rig()
    app = rig.app
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://rapport") as client:
        return await client.request(method, path, headers={"X-API-Key": ADMIN})


def problem(answer: httpx.Response) -> dict[str, object]:
    body: dict[str, object] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == answer.status_code
    assert body["message"] == body["detail"]
    assert body["type"] == f"urn:rapport:problem:{body['code']}"
    assert body["instance"] == f"urn:trace:{body['trace_id']}"
    return body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"/nowhere/{SECRET_TEXT}", 404, "not_found"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("GET", f"/counted?count={SECRET_TEXT}", 422, "invalid_value"),
    ],
)
async def test_the_frameworks_own_failures(method: str, path: str, status: int, code: str) -> None:
    answer = await ask(method, path)
    assert (answer.status_code, problem(answer)["code"]) == (status, code)
    assert SECRET_TEXT not in answer.text


async def test_a_405_says_what_is_allowed_and_a_422_which_part_is_wrong() -> None:
    assert (await ask("DELETE", "/healthz")).headers["allow"] == "GET"
    errors = problem(await ask("GET", "/counted?count=x"))["errors"]
    assert errors == [
        {
            "in": "query",
            "name": "count",
            "code": "int_parsing",
            "message": "Input should be a valid integer, unable to parse string as an integer",
        }
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/named?word=ann", "Input should be 'yes' or 'no'"),
        ("/named?text=ann", "String should have at most 2 characters"),
        # what a parser makes of the caller's text may hold some of it
        ("/named?code=zann", None),
    ],
)
async def test_a_422_says_what_is_expected_in_our_own_words_only(path: str, expected: str | None) -> None:
    errors: Any = problem(await ask("GET", path))["errors"]
    assert [one.get("message") for one in errors] == [expected]


def test_every_pattern_a_body_is_held_to_has_its_words() -> None:
    def wordless(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if "pattern" in node and "description" not in node:
                yield str(node["pattern"])
            node = list(node.values())
        for below in node if isinstance(node, list) else ():
            yield from wordless(below)

    operations = [one for path in Rig().app.openapi()["paths"].values() for one in path.values()]
    assert not list(wordless([one.get("requestBody") for one in operations]))


@pytest.mark.parametrize("name", RAISED)
async def test_what_a_route_raises(name: str, caplog: pytest.LogCaptureFixture) -> None:
    _, status, code = RAISED[name]
    with caplog.at_level(logging.ERROR, "rapport.api"):
        answer = await ask("GET", f"/broken/{name}")
    assert (answer.status_code, problem(answer)["code"]) == (status, code)
    assert SECRET_TEXT not in answer.text
    assert SECRET_TEXT not in caplog.text
    assert ("RuntimeError in /broken/{name}" in caplog.text) == (status == 500)
    assert answer.headers.get("retry-after", "").isdigit() == (status == 503)
