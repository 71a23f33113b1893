"""Stores models in a directory: one folder per version, a champion alias replaced atomically, and a history to roll
back along. Knows nothing of what is in a model or of when one may serve."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from features.spec import SPEC_HASH
from models.parity import Parity
from models.scorer import CARD_FILE, SPEC_OF, ModelError
from models.watched import Watched

CHAMPION_FILE, HISTORY_FILE, SPECS = "champion.json", "history.jsonl", "specs"
PARITY_FILE, TRIES_FILE, WATCH_FILE = "parity.json", "tries.jsonl", "watch.json"


class UnknownModel(ModelError):
    """A version that is not in the store."""


class NothingBefore(ModelError):
    """A rollback where there is nothing to go back to."""


class ModelStore:
    """A directory of models; safe for many readers and one writer at a time on one file system."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._keep_spec()

    def save(self, version: str, files: Mapping[str, bytes]) -> Path:
        """Store a version's files; the folder appears whole or not at all. Saving it again changes nothing."""
        folder = self.directory / version
        if folder.exists():
            return folder
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=self.directory))
        for name, data in files.items():
            (made / name).write_bytes(data)
        made.chmod(0o755)
        try:
            made.rename(folder)
        except OSError:
            shutil.rmtree(made)
            if not folder.exists():
                raise
        return folder

    def files(self, version: str) -> dict[str, bytes]:
        """A version's files by name. Raises `UnknownModel`."""
        folder = self._folder(version)
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}

    def card(self, version: str) -> dict[str, Any]:
        card: dict[str, Any] = json.loads((self._folder(version) / CARD_FILE).read_bytes())
        return card

    def cards(self) -> list[dict[str, Any]]:
        """The card of every version, newest first."""
        folders = (f for f in self.directory.iterdir() if (f / CARD_FILE).is_file() and not f.name.startswith("."))
        cards = [json.loads((folder / CARD_FILE).read_bytes()) for folder in folders]
        return sorted(cards, key=lambda card: (-card["created"], card["version"]))

    def champion(self) -> str | None:
        """The version that serves; None while there is none."""
        try:
            named: str | None = json.loads((self.directory / CHAMPION_FILE).read_bytes())["version"]
        except FileNotFoundError:
            return None
        return named

    def promote(self, version: str, at: int, why: Mapping[str, Any]) -> None:
        """Let a version serve from now on; `at` in ms and `why` go into the history. Raises `UnknownModel`."""
        self._folder(version)
        self._note({"at": at, "event": "promoted", "version": version, "before": self.champion(), "why": dict(why)})
        self._point(version)

    def rollback(self, at: int) -> str | None:
        """Go back to what served before the champion; None is the assumed rates. Raises `NothingBefore`."""
        champion = self.champion()
        promotions = [line for line in self.history() if line["event"] == "promoted" and line["version"] == champion]
        if champion is None or not promotions:
            raise NothingBefore("no promotion to undo; promote a version first")
        before: str | None = promotions[-1]["before"]
        self._note({"at": at, "event": "rolled_back", "version": before, "before": champion, "why": {}})
        self._point(before)
        return before

    def history(self) -> list[dict[str, Any]]:
        """Promotions and rollbacks, oldest first. A line cut short by a crash is left out."""
        return self._lines(HISTORY_FILE)

    def tries(self) -> list[dict[str, Any]]:
        """Every time a version was judged, and on which log, oldest first."""
        return self._lines(TRIES_FILE)

    def note_try(self, entry: Mapping[str, Any]) -> None:
        self._note(entry, TRIES_FILE)

    def _lines(self, name: str) -> list[dict[str, Any]]:
        try:
            lines = (self.directory / name).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [entry for entry in map(_entry, lines) if entry is not None]

    def specs(self) -> dict[str, dict[str, str]]:
        """Every feature spec this installation has had: spec hash to its columns in order with their hashes."""
        return {file.stem: json.loads(file.read_bytes()) for file in sorted((self.directory / SPECS).glob("*.json"))}

    def keep_parity(self, found: Parity) -> None:
        """Publish a measurement where every process of the installation reads it, in the place of the one before."""
        _replace(self.directory / PARITY_FILE, msgspec.json.encode(found))

    def parity(self) -> Parity | None:
        """The latest measurement; None while there is none that can be read."""
        try:
            return msgspec.json.decode((self.directory / PARITY_FILE).read_bytes(), type=Parity)
        except (OSError, msgspec.MsgspecError):
            return None

    def keep_watched(self, found: Watched) -> None:
        """The same for what became of the decisions."""
        _replace(self.directory / WATCH_FILE, msgspec.json.encode(found))

    def watched(self) -> Watched | None:
        """What was found last; None while there is nothing that can be read."""
        try:
            return msgspec.json.decode((self.directory / WATCH_FILE).read_bytes(), type=Watched)
        except (OSError, msgspec.MsgspecError):
            return None

    def _keep_spec(self) -> None:
        kept = self.directory / SPECS / f"{SPEC_HASH}.json"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            _replace(kept, json.dumps(SPEC_OF).encode())

    def _folder(self, version: str) -> Path:
        folder = self.directory / version
        if (
            not version
            or Path(version).name != version
            or version.startswith(".")
            or not (folder / CARD_FILE).is_file()
        ):
            raise UnknownModel("no model of that version; list them with `rapport evaluate` or GET /v1/models")
        return folder

    def _point(self, version: str | None) -> None:
        _replace(self.directory / CHAMPION_FILE, json.dumps({"version": version}).encode())

    def _note(self, entry: Mapping[str, Any], name: str = HISTORY_FILE) -> None:
        with (self.directory / name).open("a") as history:
            history.write(json.dumps(entry) + "\n")
            history.flush()
            os.fsync(history.fileno())


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return entry


def _replace(target: Path, data: bytes) -> None:
    """Write beside the target, then rename over it: a reader sees the old file or the new one."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(target)
