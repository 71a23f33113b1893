"""NDJSON in: the request's lines with their numbers, in chunks. Knows bytes and limits; what a line means, the route
says."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.reading import MAX_BODY
from api.refusal import Refused

NDJSON = "application/x-ndjson"
MAX_TOTAL = 64 * 1024 * 1024
Row = tuple[int, bytes | Refused]
T = TypeVar("T")
_LONG = Refused("row_too_large", f"a row may have {MAX_BODY} bytes")
_FULL = Refused("body_too_large", f"a bulk request may have {MAX_TOTAL} bytes; send the rest in another one")


class _Inbox:
    """Takes the body in as fast as it comes. A client that sends everything before it reads the first answer would
    otherwise wait for us while we wait for it."""

    def __init__(self, request: Request) -> None:
        self._parts: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self.is_cut = False
        self.task = asyncio.create_task(self._fill(request))

    async def _fill(self, request: Request) -> None:
        size = 0
        try:
            async for part in request.stream():
                size += len(part)
                self.is_cut = self.is_cut or size > MAX_TOTAL
                if part and not self.is_cut:
                    self._parts.append(part)
                    self._news.set()
        except ClientDisconnect:
            self._parts.clear()
        finally:
            self._ended = True
            self._news.set()

    async def parts(self) -> AsyncIterator[bytes]:
        while True:
            while self._parts:
                yield self._parts.popleft()
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()


async def rows(request: Request) -> AsyncIterator[Row]:
    """Each line that is not blank, with its number from 1. A line that is too long comes as a refusal."""
    inbox = _Inbox(request)
    number, rest, skipping = 0, b"", False
    try:
        async for part in inbox.parts():
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                number += 1
                if skipping or len(line) > MAX_BODY:
                    yield number, _LONG
                elif line.strip():
                    yield number, line
                skipping = False
            if len(rest) > MAX_BODY:
                rest, skipping = b"", True
        if skipping or rest.strip():
            yield number + 1, _LONG if skipping else rest
        if inbox.is_cut:
            yield number + 2, _FULL
    finally:
        inbox.task.cancel()


async def chunks(items: AsyncIterator[T], size: int) -> AsyncIterator[list[T]]:
    """Lists of up to `size` items."""
    held: list[T] = []
    async for item in items:
        held.append(item)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held
