"""What experiments found, in memory: whatever it was told last."""

from models.trial import Findings


class MemoryFindings:
    """`models.trial.KeptFindings`."""

    def __init__(self) -> None:
        self.found: Findings | None = None

    def latest(self) -> Findings | None:
        return self.found
