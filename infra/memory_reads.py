"""The audit of reads inside one process. For tests and trying things out; keeps nothing when the process ends."""

from engine.audit import Read, Sought


class MemoryReads:
    """`engine.audit.Reads`."""

    def __init__(self) -> None:
        self.kept: list[Read] = []

    def ready(self) -> None:
        """A list takes any number."""

    def note(self, read: Read) -> None:
        self.kept.append(read)

    async def sought(self, sought: Sought) -> list[tuple[int, Read]]:
        numbered = enumerate(self.kept, 1)
        found = [
            (number, read)
            for number, read in numbered
            if (not sought.profile_ids or read.profile_id in sought.profile_ids)
            and sought.who in ("", read.who)
            and (not sought.before or number < sought.before)
        ]
        return found[::-1][: sought.limit]
