"""Data subjects' requests inside one process. For tests and trying things out; keeps nothing when the process ends."""

from collections.abc import Sequence

import msgspec

from engine.data_request import CANCELLED, IN_PROGRESS, PENDING, DataRequest, is_due


class MemoryRequests:
    """`engine.data_request.DataRequests`."""

    def __init__(self) -> None:
        self.kept: dict[str, DataRequest] = {}

    async def add(self, request: DataRequest) -> DataRequest:
        return self.kept.setdefault(request.id, request)

    async def find(self, request_id: str) -> DataRequest | None:
        return self.kept.get(request_id)

    async def cancel(self, request_id: str) -> bool:
        found = self.kept.get(request_id)
        if found is None or found.state != PENDING:
            return False
        self.kept[request_id] = msgspec.structs.replace(found, state=CANCELLED)
        return True

    async def claim(self, at: int) -> list[DataRequest]:
        due = [one for one in self.kept.values() if is_due(one, at)]
        claimed = [msgspec.structs.replace(one, state=IN_PROGRESS, started_at=at) for one in due]
        self.kept |= {one.id: one for one in claimed}
        return claimed

    async def settle(self, request_id: str, state: str, jobs: Sequence[str]) -> None:
        self.kept[request_id] = msgspec.structs.replace(self.kept[request_id], state=state, jobs=tuple(jobs))

    async def forget(self, until: int) -> int:
        old = [one for one in self.kept.values() if one.subjects and one.received_at < until and one.state != PENDING]
        self.kept |= {one.id: msgspec.structs.replace(one, subjects=()) for one in old}
        return len(old)
