"""Keeps every catalogue and every set of purposes that decisions were ever made under, under hashes of their content.
Written before a process serves with it, never changed, never deleted. Knows nothing of what the rules say."""

import os
import tempfile
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from engine.allocation import Allocation
from engine.catalog import Catalogue, Documents, digest_of, digest_of_bytes
from engine.consent import Purposes
from models.replay import NotReplayable

T = TypeVar("T", bound=msgspec.Struct)
CATALOGUES, PURPOSES = "catalogues", "purposes"


class Serving(Protocol):
    """A configuration, as far as decisions are made under it."""

    @property
    def allocation(self) -> Allocation: ...
    @property
    def purposes(self) -> Purposes: ...


class RulesStore:
    """A directory of rules. Every process that serves writes to it, so many machines share it as they share models."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, catalogue: Catalogue, purposes: Purposes) -> None:
        """Keep both. What is there already stays as it is; on return both are on disk. Raises `OSError`."""
        self._write(CATALOGUES, catalogue.digest, catalogue.documents)
        self._write(PURPOSES, digest_of(purposes), purposes)

    def keep_all(self, now: Serving) -> None:
        """The same for every catalogue that may serve under a configuration."""
        for catalogue in now.allocation.catalogues:
            self.keep(catalogue, now.purposes)

    def catalogue(self, digest: str) -> Catalogue:
        """Raises `NotReplayable` where it was never kept, or is not what its name says."""
        return Catalogue(self._read(CATALOGUES, digest, Documents))

    def purposes(self, digest: str) -> Purposes:
        """Raises `NotReplayable` as above."""
        return self._read(PURPOSES, digest, Purposes)

    def _path(self, kind: str, digest: str) -> Path:
        return self._directory / kind / f"{digest}.json"

    def _write(self, kind: str, digest: str, value: msgspec.Struct) -> None:
        path = self._path(kind, digest)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(value))
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)

    def _read(self, kind: str, digest: str, of: type[T]) -> T:
        try:
            kept = self._path(kind, digest).read_bytes()
            value = msgspec.json.decode(kept, type=of)
        except FileNotFoundError as error:
            text = f"the {kind} the decision was made under are not kept here; bring {digest}.json back from a backup"
            raise NotReplayable("rules_gone", text) from error
        except msgspec.MsgspecError as error:
            text = f"{kind}/{digest}.json cannot be read by this version; bring it back from a backup"
            raise NotReplayable("rules_damaged", text) from error
        # the bytes as they were written: a field that has come since is in the value, but was not in them
        if digest_of_bytes(kept) != digest:
            text = f"{kind}/{digest}.json is not what it was; bring it back from a backup"
            raise NotReplayable("rules_damaged", text)
        return value
