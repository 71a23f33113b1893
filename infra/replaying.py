"""The past as this installation keeps it: stored models and stored rules behind one door, and the replay of a decision
by its id. Compares nothing itself."""

from functools import lru_cache

from infra.decisions import FoundDecisions
from infra.model_store import ModelStore
from infra.redis_store import RedisDecisions, connect
from infra.rules_store import RulesStore
from infra.settings import Settings
from models.replay import NotReplayable, Replayed, replay
from models.scorer import PRIOR_VERSION, ModelError, PriorModel, Scorer, load_model

KEPT_MODELS, KEPT_RULES = 4, 32


class StoredPast:
    """`models.replay.Past` over the model store and the kept rules; the latest few of each stay in memory."""

    def __init__(self, models: ModelStore, rules: RulesStore) -> None:
        self._models = models
        self.model = lru_cache(KEPT_MODELS)(self._model)
        self.catalogue = lru_cache(KEPT_RULES)(rules.catalogue)
        self.purposes = lru_cache(KEPT_RULES)(rules.purposes)

    def _model(self, version: str) -> Scorer:
        if version == PRIOR_VERSION:
            return PriorModel()
        try:
            return load_model(self._models.files(version))
        except (ModelError, OSError) as error:
            text = f"model {version}, which decided, cannot be used here: {error}"
            raise NotReplayable("model_gone", text) from error


def open_past(settings: Settings) -> StoredPast:
    return StoredPast(ModelStore(settings.models_dir), RulesStore(settings.rules_dir))


async def replay_decision(settings: Settings, decision_id: str) -> Replayed:
    """The decision of this id made again. Raises `NotReplayable`, also where no decision has this id."""
    redis = connect(settings.redis_url)
    try:
        record = await FoundDecisions(RedisDecisions(redis, settings.partitions), settings.archive).decision(
            decision_id
        )
    finally:
        await redis.aclose()
    if record is None:
        raise NotReplayable("unknown_decision", "no decision has this id; ids are kept as POST /v1/decisions gave them")
    return replay(record, open_past(settings))
