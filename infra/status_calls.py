"""Calls to addresses that came in a request: only http and https, only to where the public network is, no redirect
followed, no answer read. Knows sockets and addresses; nothing of what is told."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

import httpx

from engine.status_callback import Undelivered

SCHEMES = {"http": 80, "https": 443}
SECONDS = 5.0
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# IPv4 addresses written as IPv6 ones by a translator
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether an address is neither ours, nor of the network around us, nor of nobody in particular; one that carries
    another address is as good as that one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class HttpCaller:
    """`engine.status_callback.Caller` over HTTP. `private` lets it call loopback and private addresses too."""

    def __init__(self, *, private: bool = False, patience_s: float = SECONDS) -> None:
        self._private = private
        self._patience = patience_s

    async def call(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                parts, port = _parted(url)
                address = self._allowed(await _addresses(parts.hostname or "", port))
                await _post(parts, (address, port), body, headers)
        except (OSError, TimeoutError, httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise Undelivered(f"the address did not take the call ({type(error).__name__})") from error

    def _allowed(self, addresses: Sequence[Address]) -> Address:
        """The first address. A name that also leads somewhere it must not is refused whole."""
        if not addresses:
            raise Undelivered("the name leads to no address")
        if not self._private and not all(is_public(address) for address in addresses):
            raise Undelivered("the name leads to an address that is not public, which is never called")
        return addresses[0]


def _parted(url: str) -> tuple[SplitResult, int]:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname or "@" in parts.netloc:
        raise Undelivered("only http and https addresses without credentials are called")
    return parts, parts.port or SCHEMES[parts.scheme]


async def _addresses(name: str, port: int) -> list[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]


async def _post(parts: SplitResult, where: tuple[Address, int], body: bytes, headers: dict[str, str]) -> None:
    """To the very address that was looked at: asking for the name again could lead somewhere else."""
    address, port = where
    host = f"[{address}]" if address.version == 6 else str(address)
    url = f"{parts.scheme}://{host}:{port}{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    named = {**headers, "Host": parts.netloc, "Content-Type": "application/json"}
    server = {"sni_hostname": parts.hostname} if parts.scheme == "https" else {}
    async with (
        httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=SECONDS) as client,
        client.stream("POST", url, content=body, headers=named, extensions=server) as answer,
    ):
        if not answer.is_success:
            raise Undelivered(f"the address answered {answer.status_code}")
