"""Where adapters are chosen: an installation's settings in, everything a composition root needs out. The only place
that knows which adapter stands behind which port."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.erasure_job import Erasures, Exports
from engine.ports import (
    ApiKey,
    Consents,
    CrossFeatures,
    Decisions,
    Health,
    History,
    Identities,
    Log,
    Notices,
    People,
    Queues,
    Rejects,
    Reservations,
    Unavailable,
)
from engine.step import Rules
from infra.announcing import AnnouncedConsents
from infra.clock import now_ms
from infra.config import LiveConfiguration
from infra.consent_opening import open_consents
from infra.decisions import FoundDecisions
from infra.erasure_process import open_erasures, open_exports
from infra.findings_store import StoredFindings
from infra.history import ArchivedHistory
from infra.kafka_log import KafkaLog, cluster_id, ensure_topics
from infra.ledger_store import ADMIN, WRITER, SqlKeys, open_database
from infra.ledger_store_callbacks import SqlCallbacks
from infra.ledger_store_reads import SqlReads
from infra.ledger_store_requests import SqlRequests
from infra.ledger_store_tokens import SqlOptIns
from infra.model_store import ModelStore
from infra.redis_store import FAILURES, RedisDecisions, RedisNotices, connect
from infra.redis_store_features import RedisFeatures
from infra.redis_store_links import RedisIdentities
from infra.redis_store_queues import RedisQueues
from infra.redis_store_replay import ReplayStore
from infra.redis_store_reservations import RedisReservations
from infra.redis_store_rules import RulesRecord, rules_now, said, unlike
from infra.redis_store_stream import PartitionStore
from infra.rejects import Bodies, KafkaRejects, open_bodies
from infra.replaying import StoredPast
from infra.rules_store import RulesStore
from infra.settings import Settings
from infra.status_calls import HttpCaller
from infra.topics import CHANGES, REJECTS, topic
from models.live import LiveModel

REFRESH_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Everything behind the routes, as adapters; its fields are those of the API's world."""

    people: People
    identities: Identities
    history: History
    log: Log
    consents: Consents
    opt_ins: SqlOptIns
    decisions: Decisions
    cross: CrossFeatures
    queues: Queues
    erasures: Erasures
    exports: Exports
    requests: SqlRequests
    callbacks: SqlCallbacks
    caller: HttpCaller
    reads: SqlReads
    notices: Notices
    rejects: Rejects
    reservations: Reservations
    keys: SqlKeys
    health: Health
    configuration: LiveConfiguration
    live_model: LiveModel
    models: ModelStore
    past: StoredPast
    findings: StoredFindings
    secret: bytes
    clock: Callable[[], int]
    promote: Callable[[str, bool], Awaitable[Mapping[str, Any]]]


class Paused(Exception):
    """The stream waits for somebody to look."""


class ServerHealth:
    """Asks each server something small."""

    def __init__(self, settings: Settings, redis: Any, live: tuple[LiveConfiguration, LiveModel]) -> None:
        self._settings = settings
        self._redis = redis
        self._store = PartitionStore(redis)
        self._configuration, self._model = live
        self._rules = RulesRecord(redis)

    async def problems(self) -> dict[str, str]:
        redis, kafka = await asyncio.gather(self._asked(self._redis.ping), self._asked(self._broker))
        return {
            "worker": await self._asked(self._worker),
            "stream": await self._asked(self._flowing),
            "publisher": await self._asked(self._publisher),
            "redis": redis,
            "kafka": kafka,
            "model": self._model.problem,
            "configuration": self._configuration.problem,
        }

    async def warnings(self) -> dict[str, str]:
        try:
            made = await self._rules.made()
        except FAILURES:
            # that Redis does not answer is a problem, and told as one
            return {}
        other = said(unlike(made, rules_now(self._configuration.current.identity)))
        return {"rules": other} if other else {}

    async def _worker(self) -> None:
        await self._beating("worker")

    async def _flowing(self) -> None:
        if await self._store.paused(self._settings.partitions):
            raise Paused("most events of a partition are rejected; see `rapport rejects list`")

    async def _publisher(self) -> None:
        await self._beating("publisher")

    async def _beating(self, name: str) -> None:
        if not await self._store.alive(name):
            raise Unavailable("no sign of life")

    async def _broker(self) -> None:
        await cluster_id(self._settings.kafka_url)

    async def _asked(self, question: Callable[[], Awaitable[Any]]) -> str:
        try:
            async with asyncio.timeout(3):
                await question()
        except Paused as paused:
            return str(paused)
        except (*FAILURES, Unavailable, RuntimeError) as error:
            return f"does not answer ({type(error).__name__})"
        return ""


def open_keys(settings: Settings) -> SqlKeys:
    """The key store, with the first admin and write key in it when the settings name them."""
    keys = SqlKeys(open_database(settings.database), now_ms)
    if settings.admin_key:
        keys.ensure(ApiKey(ADMIN, "admin"), settings.admin_key)
    if settings.write_key:
        keys.ensure(ApiKey(WRITER, "write", source=WRITER), settings.write_key)
    return keys


async def prepare(settings: Settings) -> None:
    """Make topics and record the number of partitions; refuses an installation made with another number."""
    await ensure_topics(settings.kafka_url, settings.prefix, settings.partitions, settings.replicas)
    redis = connect(settings.redis_url)
    try:
        recorded = await PartitionStore(redis).claim_partitions(settings.partitions)
    finally:
        await redis.aclose()
    if recorded != settings.partitions:
        raise Unavailable(
            f"this installation was made with {recorded} partitions; set RAPPORT_PARTITIONS={recorded}"
            " (the number decides where every event lives and cannot change)"
        )


def _log(settings: Settings, configuration: LiveConfiguration) -> KafkaLog:
    """The log; its records name the rules they are to be folded by."""
    log = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, now_ms, settings.linger_ms)
    log.rules = Rules(identity=configuration.current.identity).version
    return log


def _bodies(settings: Settings, configuration: LiveConfiguration) -> Bodies:
    return Bodies(open_bodies(settings), settings.key(), lambda: configuration.current.identity, now_ms)


def _history(settings: Settings, served: tuple[People, Any], configuration: LiveConfiguration) -> History:
    people, redis = served
    ports, store = (people, RedisIdentities(redis, settings.partitions)), ReplayStore(redis, settings.partitions)
    return ArchivedHistory(settings.archive, ports, store, lambda: Rules(identity=configuration.current.identity))


@contextlib.asynccontextmanager
async def open_world(settings: Settings) -> AsyncIterator[Opened]:
    """Every adapter of one API process, open until the block ends."""
    side = await asyncio.to_thread(open_consents, settings, now_ms)
    redis = side.redis
    rules = RulesStore(settings.rules_dir)
    configuration = LiveConfiguration(settings.config_dir, rules.keep_all)
    log = _log(settings, configuration)
    consents = AnnouncedConsents(side.consents, log, topic(settings.prefix, CHANGES))
    store, live = _followed(settings)
    await log.start()
    await side.begin(consents.tell)
    reads = await _recording(settings)
    refreshing = asyncio.create_task(_refresh(configuration, live, log))
    try:
        yield Opened(
            people=side.people,
            identities=RedisIdentities(redis, settings.partitions),
            history=_history(settings, (side.people, redis), configuration),
            log=log,
            consents=consents,
            decisions=FoundDecisions(RedisDecisions(redis, settings.partitions), settings.archive),
            cross=RedisFeatures(redis, settings.prefix),
            erasures=open_erasures(settings),
            exports=open_exports(settings, redis, now_ms),
            requests=SqlRequests(open_database(settings.database)),
            callbacks=SqlCallbacks(open_database(settings.database)),
            caller=HttpCaller(private=settings.callbacks_private),
            reads=reads,
            queues=RedisQueues(redis),
            notices=RedisNotices(redis),
            reservations=RedisReservations(redis, settings.partitions),
            rejects=KafkaRejects(log, topic(settings.prefix, REJECTS), _bodies(settings, configuration)),
            keys=open_keys(settings),
            opt_ins=SqlOptIns(open_database(settings.database)),
            health=ServerHealth(settings, redis, (configuration, live)),
            configuration=configuration,
            live_model=live,
            models=store,
            past=StoredPast(store, rules),
            findings=StoredFindings(settings.models_dir),
            secret=settings.key(),
            clock=now_ms,
            promote=lambda version, force: asyncio.to_thread(_promote, settings, version, force),
        )
    finally:
        refreshing.cancel()
        await asyncio.gather(reads.end(), consents.end())
        await log.stop()
        await side.end()
        await redis.aclose()


def _followed(settings: Settings) -> tuple[ModelStore, LiveModel]:
    """The model store and the model that serves now, loaded."""
    store = ModelStore(settings.models_dir)
    live = LiveModel(store)
    live.refresh()
    return store, live


async def _recording(settings: Settings) -> SqlReads:
    """The audit of reads, writing."""
    reads = SqlReads(open_database(settings.database))
    await reads.begin()
    return reads


def _promote(settings: Settings, version: str, force: bool) -> Mapping[str, Any]:  # noqa: FBT001 reason: as the port has it
    # reason: what trains and judges takes seconds to import, and serving needs none of it
    from infra.judging import Incomplete, promote_now  # noqa: PLC0415 reason: slow to import, seldom needed

    if force:
        raise Incomplete("only the command line overrules the gate, with a reason and an approver")
    return promote_now(settings, version)


async def _refresh(configuration: LiveConfiguration, live: LiveModel, log: KafkaLog) -> None:
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        if configuration.maybe_reload():
            log.rules = Rules(identity=configuration.current.identity).version
        live.refresh()
