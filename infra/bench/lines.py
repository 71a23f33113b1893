"""Kept HTTP connections to one process of ours, lent out one at a time. Knows framing; nothing of what is asked."""

import asyncio
import time

from infra.embedded import HOST


class Line:
    """One kept connection; at most one request under way."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port)
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {self._key}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        said = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.partition(":")[2]) for line in said.split("\r\n") if line.startswith("content-length:"))
        return int(said[9:12]), await reader.readexactly(length)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


class Lines:
    """Connections to one process, lent out one at a time."""

    def __init__(self, port: int, key: str, count: int) -> None:
        self._free: asyncio.Queue[Line] = asyncio.Queue()
        self._all = [Line(port, key) for _ in range(count)]
        for line in self._all:
            self._free.put_nowait(line)

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[float, int, bytes]:
        """When the request left (seconds of `perf_counter`), status and body."""
        line = await self._free.get()
        try:
            began = time.perf_counter()
            return began, *(await line.ask(method, path, body))
        finally:
            self._free.put_nowait(line)

    def close(self) -> None:
        for line in self._all:
            line.close()
