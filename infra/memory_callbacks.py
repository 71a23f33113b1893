"""Status callbacks inside one process. For tests and trying things out; keeps nothing when the process ends."""

import msgspec

from engine.data_request import PATIENCE_MS
from engine.status_callback import Callback, Undelivered


class MemoryCallbacks:
    """`engine.status_callback.Callbacks`."""

    def __init__(self) -> None:
        self.kept: dict[str, Callback] = {}

    async def add(self, callback: Callback) -> None:
        self.kept.setdefault(callback.id, callback)

    async def claim(self, at: int) -> list[Callback]:
        left = at + PATIENCE_MS
        due = [msgspec.structs.replace(one, next_at=left) for one in self.kept.values() if one.next_at <= at]
        self.kept |= {one.id: one for one in due}
        return due

    async def settle(self, callback: Callback) -> None:
        self.kept[callback.id] = callback

    async def forget(self, callback: Callback) -> None:
        self.kept.pop(callback.id, None)


class MemoryCaller:
    """`engine.status_callback.Caller`: remembers the calls instead of making them; fails where it has a `problem`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes, dict[str, str]]] = []
        self.problem = ""

    async def call(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        self.calls.append((url, body, headers))
        if self.problem:
            raise Undelivered(self.problem)
