"""Calls to addresses out of requests, against a server of the test's own: what goes out, and where nothing goes."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from engine.status_callback import Undelivered
from infra.status_calls import HttpCaller, is_public

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Listener:
    """A server that keeps what it is sent and says what it is told to."""

    answer: bytes = OK
    port: int = 0
    got: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
        self.got.append(head + await reader.readexactly(length))
        writer.write(self.answer)
        await writer.drain()
        if self.answer:
            writer.close()


@asynccontextmanager
async def listening(answer: bytes = OK) -> AsyncIterator[Listener]:
    made = Listener(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


async def test_a_call_is_a_post_with_its_headers_and_body() -> None:
    async with listening() as there:
        url = f"http://localhost:{there.port}/status?of=1"
        await HttpCaller(private=True).call(url, b'{"a":1}', {"X-OpenDSR-Signature": "abc"})
    [got] = there.got
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /status?of=1 HTTP/1.1")
    assert f"host: localhost:{there.port}".encode() in head.lower()
    assert b"x-opendsr-signature: abc" in head.lower()
    assert body == b'{"a":1}'


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433"])
async def test_nothing_goes_to_this_machine_unless_it_is_allowed(name: str) -> None:
    async with listening() as there:
        with pytest.raises(Undelivered):
            await HttpCaller().call(f"http://{name}:{there.port}/", b"{}", {})
    assert there.got == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1"),
        *("fec0::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:0:1:2::3", "2001:db8::1"),
    ],
)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909"])
def test_what_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


async def test_a_redirect_is_not_followed() -> None:
    async with listening() as other:
        moved = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{other.port}/\r\n\r\n".encode()
        async with listening(moved) as there:
            with pytest.raises(Undelivered, match="307"):
                await HttpCaller(private=True).call(f"http://127.0.0.1:{there.port}/", b"{}", {})
    assert (len(there.got), other.got) == (1, [])


@pytest.mark.parametrize("answer", [b"HTTP/1.1 500 Oh\r\n\r\n", b"HTTP/1.1 400 No\r\n\r\n", b"nonsense\r\n\r\n"])
async def test_only_success_is_delivered(answer: bytes) -> None:
    async with listening(answer) as there:
        with pytest.raises(Undelivered):
            await HttpCaller(private=True).call(f"http://127.0.0.1:{there.port}/", b"{}", {})


async def test_who_never_answers_is_not_waited_for() -> None:
    async with listening(b"") as there:
        with pytest.raises(Undelivered):
            await HttpCaller(private=True, patience_s=0.2).call(f"http://127.0.0.1:{there.port}/", b"{}", {})


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "http://", "http://user:word@127.0.0.1/"),
        *("http://127.0.0.1:0/", "http://127.0.0.1:99999/", "http://[::1/", "http://nowhere.invalid/", "x" * 3000),
    ],
)
async def test_what_is_no_address_is_not_called(url: str) -> None:
    with pytest.raises(Undelivered):
        await HttpCaller(private=True).call(url, b"{}", {})
