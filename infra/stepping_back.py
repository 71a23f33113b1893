"""A process that steps back behind the others of its machine. Knows the scheduler; nothing of what the process does."""

import contextlib
import os
from pathlib import Path

# Linux may share the processor between sessions first, and each of our processes has a session of its own
SESSION = Path("/proc/self/autogroup")


def step_back(niceness: int) -> None:
    """Let everybody else go first where the processor is short; costs nothing where it is not."""
    os.nice(niceness)
    with contextlib.suppress(OSError):
        SESSION.write_text(str(niceness), encoding="ascii")
