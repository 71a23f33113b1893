"""Double opt-ins inside one process. For tests and trying things out; keeps nothing when the process ends."""

import msgspec

from engine.opt_in import PENDING, OptIn


class MemoryOptIns:
    """`engine.opt_in.OptIns`."""

    def __init__(self) -> None:
        self.kept: dict[str, OptIn] = {}

    async def add(self, token: str, opt_in: OptIn) -> None:
        self.kept[token] = opt_in

    async def find(self, token: str) -> OptIn | None:
        return self.kept.get(token)

    async def settle(self, token: str, state: str, at: int) -> bool:
        found = self.kept.get(token)
        if found is None or found.state != PENDING:
            return False
        self.kept[token] = msgspec.structs.replace(found, state=state, settled_at=at)
        return True
