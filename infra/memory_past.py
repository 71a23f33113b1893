"""The past in memory: every configuration and model it was told of. Forgets with its process; keeps nothing on disk."""

from engine.catalog import Catalogue, digest_of
from engine.consent import Purposes
from models.replay import NotReplayable
from models.scorer import PriorModel, Scorer


class MemoryPast:
    """`models.replay.Past`."""

    def __init__(self, catalogue: Catalogue, purposes: Purposes, model: Scorer | None = None) -> None:
        self._catalogues: dict[str, Catalogue] = {}
        self._purposes: dict[str, Purposes] = {}
        self._models: dict[str, Scorer] = {}
        self.keep(catalogue, purposes)
        for scorer in (PriorModel(), model):
            if scorer is not None:
                self.serve(scorer)

    def keep(self, catalogue: Catalogue, purposes: Purposes) -> None:
        self._catalogues[catalogue.digest] = catalogue
        self._purposes[digest_of(purposes)] = purposes

    def serve(self, model: Scorer) -> None:
        self._models[model.version] = model

    def catalogue(self, digest: str) -> Catalogue:
        if digest not in self._catalogues:
            raise NotReplayable("rules_gone", "the catalogue the decision was made under is not kept here")
        return self._catalogues[digest]

    def purposes(self, digest: str) -> Purposes:
        if digest not in self._purposes:
            raise NotReplayable("rules_gone", "the purposes the decision was made under are not kept here")
        return self._purposes[digest]

    def model(self, version: str) -> Scorer:
        if version not in self._models:
            raise NotReplayable("model_gone", f"model {version}, which decided, is not kept here")
        return self._models[version]
