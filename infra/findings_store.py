"""Keeps what experiments found last, beside the models. Computes nothing."""

import os
import tempfile
from pathlib import Path

import msgspec

from models.trial import Findings

FILE = "experiments.json"


class StoredFindings:
    """`models.trial.KeptFindings` in a directory; replaced as a whole."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE

    def keep(self, found: Findings) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new-", dir=self._path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(found))
        Path(name).chmod(0o644)
        Path(name).replace(self._path)

    def latest(self) -> Findings | None:
        """The latest; None where nothing was measured, or another version wrote it."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Findings)
        except (OSError, msgspec.MsgspecError):
            return None
