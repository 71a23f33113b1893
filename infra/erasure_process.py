"""The erasures of one installation put together: its settings in, what carries them out. Runs beside the archiver, the
one process that writes the archive; chooses adapters and knows no rule."""

from collections.abc import Callable, Mapping, Sequence

from engine.erasure_job import LogEnd
from engine.events import Event
from features.views import PROFILE
from infra.config import LiveConfiguration
from infra.erasure import Erasing, Reach
from infra.erasure_stores import (
    OfflineFeatures,
    OnlineFeatures,
    OutreachQueues,
    PromisedContacts,
    SqlRows,
)
from infra.feast_paths import offline_path
from infra.kafka_log import KafkaLog
from infra.kafka_log_retention import ends
from infra.ledger_store import open_database
from infra.ledger_store_consent import ConsentLedger, open_ledger
from infra.ledger_store_erasures import SqlErasures
from infra.ledger_store_tokens import SqlOptIns
from infra.model_store import ModelStore
from infra.redis_store import RedisClient, RedisPeople, RedisQueues
from infra.redis_store_erasure import ErasureStore
from infra.redis_store_features import RedisFeatures
from infra.redis_store_reservations import RedisReservations
from infra.rejects import open_bodies
from infra.settings import Settings


def open_erasures(settings: Settings) -> SqlErasures:
    """The jobs of this installation."""
    return SqlErasures(open_database(settings.database))


def open_erasing(settings: Settings, redis: RedisClient, clock: Callable[[], int]) -> Erasing:
    """What carries erasures out, over every store of this installation."""
    people = RedisPeople(redis, settings.partitions)
    configuration = LiveConfiguration(settings.config_dir)
    ledger = ConsentLedger(open_ledger(settings.database), clock)

    def queues() -> Sequence[str]:
        configuration.maybe_reload()
        return tuple(configuration.current.catalogue.queues)

    async def until(now: int) -> tuple[LogEnd, ...]:
        return await ends(settings.kafka_url, settings.prefix, now)

    async def send(event: Event) -> None:
        sender = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, clock)
        await sender.start()
        try:
            await sender.append_now(event)
        finally:
            await sender.stop()

    return Erasing(
        Reach(
            archive=settings.archive,
            jobs=open_erasures(settings),
            store=ErasureStore(redis, settings.partitions),
            erasers=(
                OnlineFeatures(people, RedisFeatures(redis, settings.prefix)),
                OutreachQueues(people, RedisQueues(redis), queues),
                OfflineFeatures(offline_path(settings.data_dir, PROFILE), PROFILE.join_keys[0]),
                SqlRows("consent ledger payloads", ledger.erase_payloads),
                SqlRows("double opt-ins", SqlOptIns(open_database(settings.database)).erase),
                SqlRows("rejects", open_bodies(settings).erase),
                PromisedContacts(RedisReservations(redis, settings.partitions)),
            ),
            trained=lambda: _trained(ModelStore(settings.models_dir)),
            ends=until,
            send=send,
            clock=clock,
            lateness_ms=settings.lateness_ms,
        )
    )


def _trained(store: ModelStore) -> Mapping[str, tuple[int, int]]:
    """The stretch of decisions each model version learned from, both ends included (ms)."""
    cards = [card for card in store.cards() if "data" in card]
    return {card["version"]: (int(card["data"]["first"]), int(card["data"]["last"])) for card in cards}
