"""The model that serves now: polls the champion alias and swaps the model between two decisions. Knows nothing of where
models are stored, and keeps serving what it has when the new one cannot be used."""

from collections.abc import Mapping
from typing import Protocol

from models.scorer import Model, PriorModel, Scorer, Unfit, load_model


class ModelFiles(Protocol):
    """Where models are stored: the champion's version (None while there is none) and a version's files by name."""

    def champion(self) -> str | None: ...

    def files(self, version: str) -> Mapping[str, bytes]: ...


class LiveModel:
    """`current()` is the model to decide with; call `refresh()` now and then. `problem` says why a swap failed."""

    def __init__(self, store: ModelFiles) -> None:
        self._store = store
        self._model: Scorer = PriorModel()
        self._tried: str | None = None
        self.problem = ""

    def current(self) -> Scorer:
        return self._model

    def refresh(self) -> bool:
        """Follow the champion alias; True where another model serves from now on.

        A champion that cannot be loaded is tried once; what served before goes on serving.
        """
        try:
            wanted = self._store.champion()
        except OSError as error:
            self.problem = f"the champion alias cannot be read ({type(error).__name__})"
            return False
        if wanted == self._tried:
            return False
        self._tried = wanted
        return self._swap(wanted)

    def _swap(self, version: str | None) -> bool:
        try:
            model: Scorer = PriorModel() if version is None else self._loaded(version)
        except (OSError, KeyError, Unfit) as error:
            self.problem = f"model {version} cannot serve: {error}"
            return False
        self.problem = ""
        changed = model.version != self._model.version
        self._model = model
        return changed

    def _loaded(self, version: str) -> Model:
        return load_model(self._store.files(version))
