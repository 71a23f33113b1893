"""The erasures and exports of one installation put together: its settings in, what carries them out. Erasing runs
beside the archiver, the one process that writes the archive; chooses adapters and knows no rule."""

from collections.abc import Callable, Mapping, Sequence

from engine.erasure_job import LogEnd
from engine.events import Event
from engine.named import named_in
from features.views import PROFILE
from infra.config import LiveConfiguration
from infra.erasure import Erasing, Reach
from infra.erasure_stores import (
    LEDGER,
    OPT_IN,
    REJECT,
    OfflineFeatures,
    OnlineFeatures,
    OutreachQueues,
    PromisedContacts,
    ShownRows,
    SqlRows,
    Store,
)
from infra.export import KeptOptIns, KeptRejects, StoredExports
from infra.feast_paths import offline_path
from infra.kafka_log import KafkaLog
from infra.kafka_log_retention import ends
from infra.ledger_store import open_database
from infra.ledger_store_consent import ConsentLedger, open_ledger
from infra.ledger_store_erasures import SqlErasures, SqlNames, overwriting
from infra.ledger_store_erasures import file_anew as database_anew
from infra.ledger_store_rejects import SqlRejectBodies
from infra.ledger_store_tokens import SqlOptIns
from infra.model_store import ModelStore
from infra.redis_store import RedisClient, RedisPeople
from infra.redis_store_erasure import ErasureStore
from infra.redis_store_erasure import file_anew as redis_anew
from infra.redis_store_features import RedisFeatures
from infra.redis_store_queues import RedisQueues
from infra.redis_store_reservations import RedisReservations
from infra.redis_store_stream import PartitionStore
from infra.settings import Settings


def open_erasures(settings: Settings) -> SqlErasures:
    """The jobs of this installation."""
    return SqlErasures(open_database(settings.database))


def open_exports(settings: Settings, redis: RedisClient, clock: Callable[[], int]) -> StoredExports:
    """What hands out everything kept of a person; profile, consent and the ledger's rows come from ports of their
    own."""
    stores = open_stores(settings, redis, clock)
    return StoredExports(settings.archive, PartitionStore(redis), settings.partitions, stores)


def open_stores(settings: Settings, redis: RedisClient, clock: Callable[[], int]) -> tuple[Store, ...]:
    """The stores of what is kept of people that are both exported and erased here, beside the archive."""
    people, database = RedisPeople(redis, settings.partitions), overwriting(open_database(settings.database))
    configuration, secret = LiveConfiguration(settings.config_dir), settings.key()
    names, bodies, opt_ins = SqlNames(database), SqlRejectBodies(database), SqlOptIns(database)

    def queues() -> Sequence[str]:
        configuration.maybe_reload()
        return tuple(configuration.current.catalogue.queues)

    def whom(raw: object) -> frozenset[str]:
        return named_in(raw, secret, configuration.current.identity)

    return (
        OnlineFeatures(people, RedisFeatures(redis, settings.prefix)),
        OutreachQueues(people, RedisQueues(redis), queues),
        OfflineFeatures(offline_path(settings.data_dir, PROFILE), PROFILE.join_keys[0]),
        ShownRows("double opt-ins", opt_ins.erase, OPT_IN, KeptOptIns(names, opt_ins).lines),
        ShownRows("rejects", bodies.erase, REJECT, KeptRejects(names, bodies, whom).lines),
        PromisedContacts(RedisReservations(redis, settings.partitions), clock),
    )


def open_erasing(settings: Settings, redis: RedisClient, clock: Callable[[], int]) -> Erasing:
    """What carries erasures out, over every store of this installation."""
    return Erasing(open_reach(settings, redis, clock))


def open_reach(settings: Settings, redis: RedisClient, clock: Callable[[], int]) -> Reach:
    """Every store of this installation as an erasure reaches it."""
    database = open_database(settings.database)
    ledger = ConsentLedger(overwriting(open_ledger(settings.database)), clock)

    async def anew() -> Mapping[str, str]:
        # where `infra.embedded` lets its Redis keep its files; one that keeps them elsewhere is not ours to rewrite
        redis_files = await redis_anew(redis, settings.data_dir / "redis")
        return {"files of Redis": redis_files, "files of the database": await database_anew(database)}

    async def until(now: int) -> tuple[LogEnd, ...]:
        return await ends(settings.kafka_url, settings.prefix, now)

    async def send(event: Event) -> None:
        sender = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, clock)
        await sender.start()
        try:
            await sender.append_now(event)
        finally:
            await sender.stop()

    return Reach(
        archive=settings.archive,
        jobs=open_erasures(settings),
        store=ErasureStore(redis, settings.partitions),
        erasers=(*open_stores(settings, redis, clock), SqlRows(LEDGER, ledger.erase_payloads)),
        trained=lambda: _trained(ModelStore(settings.models_dir)),
        anew=anew,
        ends=until,
        send=send,
        clock=clock,
        lateness_ms=settings.lateness_ms,
    )


def _trained(store: ModelStore) -> Mapping[str, tuple[int, int]]:
    """The stretch of decisions each model version learned from, both ends included (ms)."""
    cards = [card for card in store.cards() if "data" in card]
    return {card["version"]: (int(card["data"]["first"]), int(card["data"]["last"])) for card in cards}
