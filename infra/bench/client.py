"""A load generator in a process of its own: HTTP/1.1 over kept connections with as little work per request as Python
allows, as fast as answers come or at a stated rate. Knows sockets and times; nothing of what is asked."""

import asyncio
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec
import uvloop

HOST = "127.0.0.1"
MOST_CONNECTIONS = 128
LOST = 599
_END = b"0\r\n\r\n"


class Load(msgspec.Struct, frozen=True):
    """What to send: bodies in turn (a file of msgpack bytes), from so many connections, for so many seconds or until
    `count` were sent. A `rate` of 0 sends the next request when an answer is there; else so many a second, whether or
    not answers come."""

    port: int
    path: str
    bodies: str
    key: str = ""
    connections: int = 8
    seconds: float = 5.0
    rate: float = 0.0
    count: int = 0


class Sent(msgspec.Struct, frozen=True):
    """What came back: seconds from first request to last answer, answers by status, and per request its start
    (seconds from the first) and latency in ms."""

    seconds: float
    statuses: dict[int, int]
    starts: list[float]
    latencies: list[float]

    @property
    def answered(self) -> int:
        return len(self.latencies)

    def refused(self) -> int:
        """Answers that were no success."""
        return sum(count for status, count in self.statuses.items() if status >= 300)


class Wire(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, load: "Loader") -> None:
        self._load = load
        self._began = 0.0
        self._got = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's
        self._transport = cast(asyncio.Transport, transport)
        self._load.freed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost()

    def send(self, request: bytes, began: float) -> None:
        self._began = began
        self._got.clear()
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if complete(self._got):
            self._load.answered(self._began, int(self._got[9:12]))
            self._load.freed(self)


def complete(got: bytearray) -> bool:
    """Whether these bytes are a whole answer: by its length, or by the last chunk."""
    head = got.find(b"\r\n\r\n")
    if head < 0:
        return False
    low = bytes(got[:head]).lower()
    place = low.find(b"content-length:")
    if place >= 0:
        stop = low.find(b"\r\n", place)
        return len(got) - head - 4 >= int(low[place + 15 : stop if stop > 0 else head])
    return got.endswith(_END)


class Loader:
    """Sends a load and keeps what came back."""

    def __init__(self, load: Load) -> None:
        bodies: list[bytes] = msgspec.msgpack.decode(Path(load.bodies).read_bytes(), type=list[bytes])
        head = (
            f"POST {load.path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            f"X-API-Key: {load.key}\r\nContent-Length: "
        )
        self._load = load
        self._requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]
        self._free: deque[Wire] = deque()
        self._waiting: deque[float] = deque()
        self._next = 0
        self._first = self._until = 0.0
        self._under_way = 0
        self._done = asyncio.Event()
        self._statuses: Counter[int] = Counter()
        self._times: list[tuple[float, float]] = []

    async def run(self) -> Sent:
        await self._connect(self._load.connections)
        self._first = time.perf_counter()
        self._until = self._first + self._load.seconds
        if self._load.rate:
            await self._at_rate()
        else:
            while self._free and self._more():
                self._ask(self._free.popleft(), time.perf_counter())
        if self._under_way or self._waiting:
            await asyncio.wait_for(self._done.wait(), self._load.seconds + 60)
        ended = max((began + took for began, took in self._times), default=self._first)
        starts = [began - self._first for began, _ in self._times]
        return Sent(ended - self._first, dict(self._statuses), starts, [took * 1000 for _, took in self._times])

    async def _connect(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count):
            await loop.create_connection(lambda: Wire(self), HOST, self._load.port)

    async def _at_rate(self) -> None:
        pause = 1.0 / self._load.rate
        due = self._first
        while due < self._until and self._more():
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            # our own timer's lateness is not the server's: the clock starts when the request would leave
            now = time.perf_counter()
            if self._free:
                self._ask(self._free.popleft(), now)
            else:
                self._waiting.append(now)
            due += pause
        self._until = self._first

    def _more(self) -> bool:
        return time.perf_counter() < self._until and (not self._load.count or self._next < self._load.count)

    def _ask(self, wire: Wire, began: float) -> None:
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
        self._under_way += 1
        wire.send(request, began)

    def answered(self, began: float, status: int) -> None:
        self._under_way -= 1
        self._statuses[status] += 1
        self._times.append((began, time.perf_counter() - began))

    def freed(self, wire: Wire) -> None:
        if self._waiting:
            self._ask(wire, self._waiting.popleft())
        elif not self._load.rate and self._first and self._more():
            self._ask(wire, time.perf_counter())
        else:
            self._free.append(wire)
            if self._first and not self._under_way and not self._more():
                self._done.set()

    def lost(self) -> None:
        """A connection the server closed: counted like an answer that was no success."""
        self._statuses[LOST] += 1
        self._done.set()


async def send(load: Load) -> Sent:
    """Run the load in a process of its own. Raises `RuntimeError` with that process' words when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.bench.client",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(msgspec.json.encode(load))
    if process.returncode:
        raise RuntimeError(f"the load generator ended:\n{err.decode()[-2000:]}")
    return msgspec.msgpack.decode(out, type=Sent)


def keep_bodies(directory: Path, name: str, bodies: Sequence[bytes]) -> str:
    """Bodies as the file a `Load` names."""
    path = directory / f"{name}.msgpack"
    path.write_bytes(msgspec.msgpack.encode(list(bodies)))
    return str(path)


def main() -> None:
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    sent = uvloop.run(_run(load))
    sys.stdout.buffer.write(msgspec.msgpack.encode(sent))


async def _run(load: Load) -> Sent:
    return await Loader(load).run()


if __name__ == "__main__":
    main()
