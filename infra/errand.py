"""An errand beside a process that goes on: now and then another process, one at a time, ended with its parent. Knows
nothing of what the errand is."""

import asyncio
import contextlib
import logging

log = logging.getLogger("rapport.errand")


class Errand:
    """`command` every `every` ms, the first time so long after `since` (ms); never while the one before still runs."""

    def __init__(self, command: tuple[str, ...], every: int, since: int) -> None:
        self._command = command
        self._every = every
        self._started = since
        self._running: asyncio.subprocess.Process | None = None

    async def round(self, now: int) -> bool:
        """Start it if it is due; whether it was started. 0 as `every` means never."""
        busy = self._running is not None and self._running.returncode is None
        if not self._every or busy or now - self._started < self._every:
            return False
        self._started = now
        try:
            self._running = await asyncio.create_subprocess_exec(*self._command)
        except OSError as error:
            log.warning("%s cannot be started: %s", self._command[-1], type(error).__name__)
            return False
        return True

    async def end(self) -> None:
        """Stop one that still runs."""
        running = self._running
        if running is not None and running.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                running.terminate()
            await running.wait()
