"""Bodies as they really come: labelled wrongly, compressed, cut, too large, or no JSON at all."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tests.api.world import WRITE, Rig

EVENT = {"type": "track", "event": "Ping", "userId": "u-1"}
BATCH = orjson.dumps({"batch": [EVENT, EVENT]})


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "nonsense", ""],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_the_content_type_is_ignored(content_type: str, packed: bool) -> None:
    headers = {"Content-Type": content_type} | ({"Content-Encoding": "gzip"} if packed else {})
    async with Rig().client(WRITE) as client:
        answer = await client.post("/v1/batch", content=gzip.compress(BATCH) if packed else BATCH, headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 2)


async def test_gzip_is_recognised_without_its_header() -> None:
    async with Rig().client(WRITE) as client:
        answer = await client.post("/v1/batch", content=gzip.compress(BATCH))
    assert answer.json()["accepted"] == 2


MARK = "do-not-repeat-me"
REFUSED: dict[str, tuple[str, bytes, dict[str, str], str]] = {
    "empty": ("/v1/batch", b"", {}, "invalid_json"),
    "no-json": ("/v1/batch", MARK.encode(), {}, "invalid_json"),
    "cut": ("/v1/batch", BATCH[:-3], {}, "invalid_json"),
    "number": ("/v1/batch", b"3", {}, "not_an_object"),
    "list": ("/v1/batch", b"[]", {}, "not_an_object"),
    "no-batch": ("/v1/batch", b"{}", {}, "invalid_batch"),
    "batch-no-list": ("/v1/batch", b'{"batch": {"a": 1}}', {}, "invalid_batch"),
    "single-list": ("/v1/track", b"[]", {}, "not_an_object"),
    "single-no-json": ("/v1/track", f'{{"{MARK}"'.encode(), {}, "invalid_json"),
    "bad-gzip": ("/v1/batch", MARK.encode(), {"Content-Encoding": "gzip"}, "bad_gzip"),
    "cut-gzip": ("/v1/batch", gzip.compress(BATCH)[:-9], {"Content-Encoding": "gzip"}, "bad_gzip"),
    "brotli": ("/v1/batch", BATCH, {"Content-Encoding": "br"}, "unsupported_encoding"),
    "deep": ("/v1/batch", b'{"batch":' + b"[" * 100_000, {}, "invalid_json"),
    "deep-single": ("/v1/track", b'{"a":' * 5_000, {}, "invalid_json"),
    "oversize-single": ("/v1/track", b'{"a":"' + b"x" * 32 * 1024 + b'"}', {}, "too_large"),
    "oversize-batch": ("/v1/batch", b'{"batch":["' + b"x" * 500 * 1024 + b'"]}', {}, "too_large"),
    "inflate-bomb": ("/v1/batch", gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"}, "too_large"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_an_unreadable_body_is_a_400_that_repeats_nothing(name: str) -> None:
    path, body, headers, code = REFUSED[name]
    rig = Rig()
    async with rig.client(WRITE) as client:
        answer = await client.post(path, content=body, headers=headers)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["message"] == problem["detail"]
    assert {"type", "title", "status", "instance", "trace_id"} <= problem.keys()
    assert MARK not in answer.text
    assert not list(rig.events())


async def _chunks(count: int) -> AsyncIterator[bytes]:
    yield b'{"batch":['
    for _ in range(count):
        yield b'"' + b"x" * 65_000 + b'",'
    yield b"1]}"


async def test_a_chunked_body_is_counted_as_it_comes() -> None:
    async with Rig().client(WRITE) as client:
        small = await client.post("/v1/batch", content=_chunks(1))
        large = await client.post("/v1/batch", content=_chunks(9))
    assert "content-length" not in small.request.headers
    assert small.status_code == 200
    assert (large.status_code, large.json()["code"]) == (400, "too_large")


async def test_an_oversize_event_costs_only_itself() -> None:
    fat = {**EVENT, "messageId": "m-2", "properties": {"text": "é" * 17_000}}
    async with Rig().client(WRITE) as client:
        answer = await client.post("/v1/batch", content=orjson.dumps({"batch": [EVENT, fat, EVENT]}))
    assert answer.json()["accepted"] == 2
    assert [(r["index"], r["code"]) for r in answer.json()["rejected"]] == [(1, "too_large")]


@pytest.mark.parametrize(
    ("value", "kept"), [("NaN", None), ("-Infinity", None), (r'"half \ud83d"', "half ?"), (r'"😀"', "😀")]
)
async def test_what_strict_json_forbids_does_not_cost_the_batch(value: str, kept: Any) -> None:
    rig = Rig()
    odd = f'{{"type":"track","event":"Ping","userId":"u-2","properties":{{"p":{value}}}}}'
    body = f'{{"batch":[{orjson.dumps(EVENT).decode()},{odd}]}}'
    async with rig.client(WRITE) as client:
        batch = await client.post("/v1/batch", content=body.encode())
        single = await client.post("/v1/t", content=odd.encode())
    assert (batch.json()["accepted"], single.json()["accepted"]) == (2, 1)
    assert [e.properties.get("p") for e in rig.events() if e.home == rig.id_of("user_id:u-2")] == [kept, kept]


async def test_bytes_that_are_no_utf8_cost_only_their_event() -> None:
    body = b'{"batch":[{"type":"track","event":"P\xff","userId":"u-1"},' + orjson.dumps(EVENT) + b"]}"
    async with Rig().client(WRITE) as client:
        answer = await client.post("/v1/batch", content=body)
    assert answer.json()["accepted"] == 1
    assert [(r["index"], r["code"]) for r in answer.json()["rejected"]] == [(0, "invalid_json")]


async def test_the_trace_of_the_caller_is_named_in_a_problem() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with Rig().client(WRITE) as client:
        answer = await client.post("/v1/t", content=b"x", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.json()["trace_id"] == trace
    assert answer.json()["instance"] == f"urn:trace:{trace}"
