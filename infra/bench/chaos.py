"""`rapport bench --only chaos`: events over HTTP into Apache Kafka and Redis while everything is killed at random, then
a count of what was lost, doubled or different. Knows the order of moves; how to kill and to judge is said elsewhere."""

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from infra.bench.bed import Place
from infra.bench.chaos_check import Checker, Verdict
from infra.bench.chaos_client import Clients
from infra.bench.chaos_events import TOGETHER, Crowd
from infra.bench.chaos_fleet import Fleet, RedisServer
from infra.bench.chaos_kafka import Kafka
from infra.bench.chaos_progress import PATIENCE_SECONDS, Progress
from infra.bench.figures import Row, Say, Target
from infra.clock import now_ms
from infra.kafka_log import KafkaLog
from infra.ledger_store import new_secret
from infra.redis_store import connect
from infra.redis_store_stream import PartitionStore
from infra.settings import DEMO_CONFIG, Settings
from infra.topics import INBOX, topic
from infra.wiring import prepare

SEEDS = (1, 2, 3)
OURS = ("worker", "api", "archiver", "publisher")
KINDS = ("worker", "api", "archiver", "broker", "redis")
PHASE_SECONDS = 4.0
# a group waits six seconds for a silent member
STOPPED_SECONDS = 9.0
MOST_PAUSES = 5
TRICKLE = 100
# of the events so much is sent along with the moves; the rest is for when there is need, and for the end
ALONG = 0.7
# shorter than anybody's patience with Redis
HELD_SECONDS, FETCHED_SECONDS = 3.0, 0.5


class Plan(msgspec.Struct, frozen=True):
    """One run: how many events and kills, and what the seed makes of them. `fsync` is Redis's; where it is `everysec`,
    killing it takes what it wrote in the last moment along, as a machine's loss of power would."""

    events: int
    kills: int
    seed: int
    fsync: str = "always"
    kinds: tuple[str, ...] = KINDS
    partitions: int = 8

    @property
    def forgets(self) -> bool:
        return self.fsync != "always"


class Outcome(msgspec.Struct, frozen=True):
    """What a run came to; `story` says what was done and what clients were answered. `back` counts records that Redis
    had forgotten and that were read again."""

    plan: Plan
    verdict: Verdict
    seconds: float
    back: int
    story: str

    @property
    def counts(self) -> bool:
        """Whether anything was put to the test at all."""
        return bool(self.verdict.redelivered and self.verdict.refused)


class Chaos:
    """One run over one fleet."""

    def __init__(self, plan: Plan, fleet: Fleet, clients: Clients, progress: Progress, say: Say) -> None:
        self._plan = plan
        self._fleet = fleet
        self._clients = clients
        self._say = say
        self._draw = Random(plan.seed)
        self._progress = progress
        self.back = 0
        self._left = plan.events
        self._sending: asyncio.Task[None]
        self._made: dict[str, Callable[[], Awaitable[None]]] = {
            **{kind: partial(self._kill_one, kind) for kind in OURS},
            "broker": partial(fleet.kill_server, "broker"),
            "redis": self._kill_redis,
            "stop": self._stop_one,
            "join": self._join,
            "leave": self._leave,
        }

    def _grant(self, events: int, seconds: float) -> bool:
        """Let clients send some more, but not the last ones; False where nothing is left for that."""
        granted = min(events, self._left - self._plan.events // 10)
        if granted <= 0:
            return False
        self._left -= granted
        self._clients.grant(granted, seconds)
        return True

    def moves(self) -> list[str]:
        """What is done to the fleet, in drawn order: every kind is killed, workers stop, join and leave."""
        kinds = self._plan.kinds
        kills = [kinds[n % len(kinds)] for n in range(self._plan.kills)]
        rounds = max(self._plan.kills // len(KINDS), 1)
        found = [*kills, *["stop", "join", "leave", "publisher"] * rounds]
        self._draw.shuffle(found)
        return found

    async def run(self) -> None:
        """All moves while clients send, then until everything is worked off."""
        moves = self.moves()
        weights = {"stop": STOPPED_SECONDS}
        total = PHASE_SECONDS + sum(weights.get(move, PHASE_SECONDS) for move in moves)
        settings = self._fleet.settings
        inbox = KafkaLog(settings.kafka_url, settings.prefix, settings.partitions, now_ms, 0)
        await inbox.start()
        sending = self._sending = asyncio.create_task(self._clients.run(inbox, topic(settings.prefix, INBOX)))
        try:
            for number, move in enumerate(moves):
                seconds = weights.get(move, PHASE_SECONDS)
                self._grant(round(ALONG * self._plan.events * seconds / total), seconds)
                self._say(f"chaos: seed {self._plan.seed}, {number + 1} of {len(moves)}: {move}")
                await self._move(move)
                if sending.done():
                    await sending
            if self._plan.forgets:
                await self._lose_what_followed()
            written = self._fleet.written()
            self._clients.grant(self._left, PHASE_SECONDS)
            await sending
        finally:
            sending.cancel()
            await inbox.stop()
        await self._progress.worked_off()
        if self._plan.forgets:
            # and once more when nothing comes after it that would show what was forgotten
            await self._lose_power(written)
            await self._progress.worked_off()

    async def _move(self, move: str) -> None:
        await asyncio.sleep(self._draw.random() * PHASE_SECONDS)
        before = await self._progress.applied()
        await self._made[move]()
        await self._until_moving(before)

    async def _kill_one(self, kind: str) -> None:
        await self._fleet.kill(self._draw.choice(sorted(n for n in self._fleet.children if n.startswith(kind))))

    async def _kill_redis(self) -> None:
        if self._plan.forgets:
            written = self._fleet.written()
            await asyncio.sleep(0.5 + 0.5 * self._draw.random())
            await self._lose_power(written)
        else:
            await self._fleet.kill_server("redis")

    async def _join(self) -> None:
        self._fleet.join()

    async def _leave(self) -> None:
        workers = self._fleet.workers()
        if len(workers) > 1:
            await self._fleet.leave(self._draw.choice(workers))

    async def _stop_one(self) -> None:
        """Until a write of a worker that came back was refused. One with nothing in hand is not refused anything, so
        Redis holds still until much has come in."""
        before = await self._progress.refused()
        for _ in range(MOST_PAUSES):
            self._fleet.hold()
            self._grant(self._plan.events // 50, 1.0)
            deadline = time.monotonic() + HELD_SECONDS
            while self._clients.budget > TOGETHER and time.monotonic() < deadline:  # noqa: ASYNC110 reason: it shrinks
                await asyncio.sleep(0.1)
            await asyncio.sleep(FETCHED_SECONDS)
            await self._fleet.pause(self._draw.choice(self._fleet.workers()), STOPPED_SECONDS)
            for _ in range(20):
                await asyncio.sleep(0.1)
                if await self._progress.refused() > before:
                    return

    async def _lose_power(self, written: tuple[Path, int]) -> None:
        before = await self._progress.applied()
        await self._fleet.lose_power(written)
        back = max(before - await self._progress.applied(), 0)
        self._say(f"chaos: seed {self._plan.seed}, Redis forgot {back} records")
        self.back += back

    async def _lose_what_followed(self) -> None:
        """Redis forgets everything that was published of the last events, and nothing of what it follows from."""
        with self._fleet.held_up("publisher"):
            self._clients.grant(self._left // 2, 1.0)
            self._left -= self._left // 2
            while self._clients.budget > TOGETHER and not self._sending.done():  # noqa: ASYNC110 reason: it shrinks
                await asyncio.sleep(0.1)
            await self._progress.folded()
            written = self._fleet.written()
        await self._progress.worked_off()
        self._say(f"chaos: seed {self._plan.seed}, Redis forgets what was published")
        await self._lose_power(written)
        await self._progress.worked_off()

    async def _until_moving(self, before: int) -> None:
        """Until the stream gets on, or there is nothing more to get on with."""
        deadline, applied = time.monotonic() + PATIENCE_SECONDS, self._progress.applied
        while await applied() <= before and (self._clients.budget > TRICKLE or self._grant(TRICKLE, 1.0)):
            if self._sending.done():
                await self._sending
            if time.monotonic() > deadline:
                raise RuntimeError(f"the stream stands still:\n{self._fleet.last_words()}")
            await asyncio.sleep(0.1)


def _settings(home: Path, kafka: Kafka, redis: RedisServer, plan: Plan) -> Settings:
    return Settings(
        data_dir=home,
        config_dir=DEMO_CONFIG,
        kafka_url=kafka.url,
        redis_url=redis.url,
        partitions=plan.partitions,
        rebalance_seconds=2.0,
        admin_key=new_secret("admin"),
        write_key=new_secret("write"),
        secret=f"chaos {plan.seed}",
    )


@contextlib.asynccontextmanager
async def _installation(plan: Plan, home: Path) -> AsyncIterator[Fleet]:
    for name in ("kafka", "redis", "data"):
        (home / name).mkdir(parents=True)
    kafka, redis = Kafka(home / "kafka"), RedisServer(home / "redis", plan.fsync)
    fleet = Fleet(_settings(home / "data", kafka, redis, plan), kafka, redis, Random(plan.seed))
    try:
        await fleet.start_servers()
        await prepare(fleet.settings)
        await fleet.start_ours()
        yield fleet
    finally:
        await fleet.close()


class Endured(msgspec.Struct, frozen=True):
    """A run that is over, with its servers still there to look at."""

    outcome: Outcome
    settings: Settings
    checker: Checker
    clients: Clients
    redis: Any


@contextlib.asynccontextmanager
async def endured(plan: Plan, home: Path, say: Say) -> AsyncIterator[Endured]:
    """One run in an empty directory, judged. Raises `Absent` where Kafka or Redis cannot run, `RuntimeError` where the
    stream stands still."""
    began = time.monotonic()
    # our own clients meet a dead broker all the time; what they say of it buries what went wrong
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    async with _installation(plan, home) as fleet:
        settings = fleet.settings
        keys = {"admin": settings.admin_key, "write": settings.write_key}
        urls = tuple(f"http://{settings.host}:{port}" for port in fleet.ports.values())
        clients = Clients(Crowd(plan.events, plan.seed).sendings(), urls, keys, Random(plan.seed))
        redis = connect(settings.redis_url)
        try:
            progress = Progress(settings, PartitionStore(redis), fleet.last_words)
            chaos = Chaos(plan, fleet, clients, progress, say)
            await chaos.run()
            say(f"chaos: seed {plan.seed}, judging")
            await fleet.leave("archiver")
            checker = Checker(settings, redis)
            verdict = await checker.judge(clients)
            story = f"kills {dict(fleet.kills)}; ends {dict(fleet.exits)}; answers {dict(clients.answers)}"
            outcome = Outcome(plan, verdict, time.monotonic() - began, chaos.back, story)
            yield Endured(outcome, settings, checker, clients, redis)
        finally:
            await redis.aclose()


async def unleash(plan: Plan, home: Path, say: Say) -> Outcome:
    """One run in an empty directory: what it came to."""
    async with endured(plan, home, say) as found:
        return found.outcome


async def run(place: Place, say: Say, _config: Path) -> list[Row]:
    """Three seeds: 200,000 events and 20 kills each, or a tenth of the events and 5 kills."""
    events, kills = (20_000, 5) if place.quick else (200_000, 20)
    rows: list[Row] = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory(prefix="rapport-chaos-") as home:
            rows += _rows(await unleash(Plan(events, kills, seed), Path(home), say))
    return rows


def _rows(outcome: Outcome) -> list[Row]:
    verdict, named = outcome.verdict, f"seed {outcome.plan.seed}"
    none = Target(0, most=True)
    tested = (
        f"{verdict.accepted:,} accepted, {verdict.applied:,} logged in {outcome.seconds:.0f} s; {verdict.fragments:,}"
        f" fragments, {verdict.people:,} people, {verdict.links:,} claims; {outcome.story}"
    )
    once = Target(1)
    return [
        Row("chaos", f"{named}: lost", verdict.lost.total(), "", target=none, note=f"{tested}; {_named(verdict.lost)}"),
        Row("chaos", f"{named}: doubled", verdict.doubled.total(), "", target=none, note=_named(verdict.doubled)),
        Row("chaos", f"{named}: different", verdict.different.total(), "", target=none, note=_named(verdict.different)),
        Row("chaos", f"{named}: records that came again", verdict.redelivered, "", target=once),
        Row("chaos", f"{named}: writes refused", verdict.refused, "", target=once),
    ]


def _named(counted: Any) -> str:
    return ", ".join(f"{count} {name}" for name, count in counted.items() if count)
