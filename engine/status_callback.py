"""Telling somebody elsewhere how far their request is: to whom, what was told last, and when to try again. Knows no
network, no protocol and no clock."""

import hashlib
import hmac
from typing import Protocol

import msgspec

from engine.data_request import CANCELLED, COMPLETED, PENDING
from engine.errors import EngineError

FINAL = (COMPLETED, CANCELLED)
LOOK_MS = 2_000
FIRST_PAUSE_MS, LONGEST_PAUSE_MS, GROWTH = 10_000, 3_600_000, 3
# the last try comes some five hours after the first
MOST_TRIES = 10


class Undelivered(EngineError):
    """A call that was not answered with success; the message says why and holds nothing of the answer."""


class Callback(msgspec.Struct, frozen=True):
    """One address to be told about one request until `until` (ms). `place` is where our API is for its receiver,
    `secret` what calls are signed with, `told` the status they know."""

    request: str
    url: str
    place: str
    secret: str
    until: int
    next_at: int
    told: str = PENDING
    tries: int = 0

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.request} {self.url}".encode()).hexdigest()


class Callbacks(Protocol):
    """Keeps callbacks, over restarts. Raises `Unavailable`."""

    async def add(self, callback: Callback) -> None:
        """Keep it, unless it is kept already."""
        ...

    async def claim(self, at: int) -> list[Callback]:
        """What is to be looked at, at `at` (ms), each for one claimant; left alone it comes back after a minute."""
        ...

    async def settle(self, callback: Callback) -> None:
        """Keep how it stands."""
        ...

    async def forget(self, callback: Callback) -> None: ...


class Caller(Protocol):
    """Makes one call."""

    async def call(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """POST it. Raises `Undelivered` for everything but success."""
        ...


def secret_for(key: str, request: str) -> str:
    """What calls about a request are signed with: its sender can compute it from their API key, and whoever reads our
    database learns no key from it."""
    return hmac.digest(key.encode(), request.encode(), "sha256").hex()


def looked(callback: Callback, at: int) -> Callback:
    """Nothing new to tell."""
    return msgspec.structs.replace(callback, next_at=at + LOOK_MS)


def delivered(callback: Callback, status: str, at: int) -> Callback | None:
    """They know this status now; None where there will be no other."""
    if status in FINAL:
        return None
    return msgspec.structs.replace(callback, told=status, tries=0, next_at=at + LOOK_MS)


def failed(callback: Callback, at: int) -> Callback | None:
    """When to try again, each time later; None where it was tried often enough."""
    tries = callback.tries + 1
    if tries >= MOST_TRIES:
        return None
    pause = min(FIRST_PAUSE_MS * GROWTH ** (tries - 1), LONGEST_PAUSE_MS)
    return msgspec.structs.replace(callback, tries=tries, next_at=at + pause)
