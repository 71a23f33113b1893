"""Redis as people are read from it: connection, persons, decisions and live notices. Writing is done
elsewhere; nothing here knows a rule."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.consent import CLOSED, Held
from engine.identity import Person
from engine.ports import ConsentChange, PersonView, Unavailable
from engine.records import DecisionRecord, decode_decision, partition_of
from engine.statement import taken
from infra.fragment_bytes import unpack
from infra.held_bytes import decode_held_bytes
from infra.id_bytes import pack_ids, unpack_ids
from infra.topics import consent_key, decision_key, fragment_key, index_key

# redis-py types every answer as text or bytes, whichever the client decodes to; ours never decodes
RedisClient = Any
Parts = dict[str, tuple[bytes | None, dict[bytes, bytes]]]
# a cluster of which nobody answers says so by an exception that is no RedisError
FAILURES = (RedisError, RedisClusterException, OSError, TimeoutError)
CHANGES_CHANNEL = "changes"
PENDING = "pending:"
_MEMBERS = msgspec.msgpack.Decoder(tuple[bytes, ...])
VERSION_BYTES = 6
SECONDS = 5.0


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """A refusal on its way to the consent ledger: since when (ms), who said it, and under which law."""

    at: int
    change: ConsentChange
    who: str = ""
    jurisdiction: str = ""

    def narrowed(self, held: Held) -> Held:
        return taken(held, self.change)


_PENDING = msgspec.msgpack.Decoder(Pending)


class Runs:
    """The runs of the server that this process has met, and those of them that are known to hold the whole ledger. Of a
    cluster only who is written to counts: a replica that takes over is another run."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.trusted: set[str] = set()
        self.client: RedisClient | None = None

    async def meet(self, connection: Any) -> None:
        """Called by the client for every connection it makes: a restart shows here before anything is read."""
        await connection.on_connect()
        await connection.send_command("INFO", "server", "replication")
        answer = await connection.read_response()
        lines = (answer.decode() if isinstance(answer, bytes) else str(answer)).splitlines()
        self._note({name: value.strip() for name, _, value in (line.partition(":") for line in lines)})

    async def ask(self) -> None:
        """Meet everybody who is written to now. Raises one of `FAILURES` where one of them does not answer."""
        client = self.client
        if isinstance(client, RedisCluster):
            await client.initialize()
            for node in client.get_primaries():
                self._note(await client.execute_command("INFO", "server", "replication", target_nodes=node))
        elif client is not None:
            self._note(await client.info("server", "replication"))

    def _note(self, said: Mapping[str, Any]) -> None:
        if said.get("run_id") and not (isinstance(self.client, RedisCluster) and said.get("role") == "slave"):
            self.seen.add(str(said["run_id"]))


def connect(url: str, runs: Runs | None = None) -> RedisClient:
    """A client for one server, or for a cluster where the URL says `?cluster=true`; both take the same commands here,
    since the keys of one call share a slot. `runs` learns which runs of the server it speaks to."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.02), 3)
    options: dict[str, Any] = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS, "retry": retry}
    address, clustered = nearest(url)
    if clustered:
        return _meeting(RedisCluster.from_url(address, **options), runs)
    if runs is not None:
        options["redis_connect_func"] = runs.meet
    options["retry_on_error"] = [RedisConnectionError, RedisTimeoutError]
    # a crowd waits for a connection instead of being refused one
    pool = BlockingConnectionPool.from_url(address, max_connections=64, timeout=SECONDS, **options)
    client = Redis.from_pool(pool)
    if runs is not None:
        runs.client = client
    return client


def _meeting(cluster: RedisCluster, runs: Runs | None) -> RedisCluster:
    """A cluster's client takes no function to call on connecting, but its connections do."""
    if runs is not None:
        runs.client = cluster
        holders: tuple[Any, ...] = (cluster, cluster.nodes_manager, *cluster.nodes_manager.startup_nodes.values())
        for holder in holders:
            holder.connection_kwargs["redis_connect_func"] = runs.meet
    return cluster


def mget(pipe: Any, keys: Sequence[str]) -> None:
    """MGET within a pipeline. A cluster's pipeline refuses the method; the command it takes where keys share a slot."""
    pipe.execute_command("MGET", *keys)


def nearest(url: str) -> tuple[str, bool]:
    """The address redis-py takes, and whether a cluster is there. A fragment names the same server's local socket,
    which answers in half the time of TCP; clients that know nothing of it, like Feast's, use the rest of the URL."""
    address, _, query = url.partition("?")
    if "cluster=true" in query:
        return address, True
    asked = urlsplit(url)
    return (f"unix://{asked.fragment}?db={asked.path.strip('/') or 0}" if asked.fragment else url), False


def encode_index(version: int, members: Sequence[str]) -> bytes:
    """An index entry: link version in six bytes, then the person's members, strongest first."""
    return version.to_bytes(VERSION_BYTES, "big") + msgspec.msgpack.encode(pack_ids(members))


def decode_index(data: bytes) -> tuple[int, Person]:
    version, members = data[:VERSION_BYTES], _MEMBERS.decode(data[VERSION_BYTES:])
    return int.from_bytes(version, "big"), Person(unpack_ids(members))


def pending_of(fields: Mapping[bytes, bytes]) -> dict[str, Pending]:
    """The refusals on their way to the ledger, by row id."""
    mine = (name for name in fields if name.startswith(b"pending:"))
    return {name.decode().removeprefix(PENDING): _PENDING.decode(fields[name]) for name in mine}


def decode_held(fields: Mapping[bytes, bytes]) -> Held:
    """One consent hash: `h` what the ledger says as of its row `q`, `pending:<row>` what is on its way there (which
    counts already), `l:<purpose>` what events said last."""
    held = decode_held_bytes(fields[b"h"]) if b"h" in fields else Held()
    for _, waiting in sorted(pending_of(fields).items()):
        held = waiting.narrowed(held)
    return held


class Believed(Protocol):
    """Who knows whether Redis may be believed about consent, and what holds where it may not."""

    @property
    def believed(self) -> bool: ...

    async def held(self, identities: Sequence[str], waiting: Mapping[str, dict[str, Pending]]) -> dict[str, Held]: ...


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise Unavailable("the profile store does not answer; try again in a moment") from error


class RedisPeople:
    """`engine.ports.People`: two pipelined round trips, three for linked people."""

    def __init__(self, redis: RedisClient, partitions: int, truth: Believed | None = None) -> None:
        self._redis = redis
        self._partitions = partitions
        self._truth = truth

    def _at(self, identity: str) -> int:
        return partition_of(identity, self._partitions)

    async def person(self, identity: str) -> PersonView:
        return (await self.people([identity]))[0]

    async def people(self, identities: Sequence[str]) -> list[PersonView]:
        """Views in the order asked. Raises `Unavailable` when Redis does not answer."""
        with _answering():
            return await self._read(identities)

    async def members(self, identities: Sequence[str]) -> set[str]:
        """Everybody who is one person with any of these, and nothing else about them. Raises `Unavailable`."""
        pipe = self._redis.pipeline(transaction=False)
        for identity in identities:
            pipe.get(index_key(self._at(identity), identity))
        with _answering():
            answers = await pipe.execute() if identities else []
        return {*identities, *(m for raw in answers if raw for m in decode_index(raw)[1].members)}

    async def said(self, identities: Sequence[str]) -> dict[str, dict[str, Held]]:
        """What everybody who is one person with each of these holds: index and consent are read, nothing else."""
        wanted = list(dict.fromkeys(identities))
        pipe = self._redis.pipeline(transaction=False)
        for identity in wanted:
            pipe.get(index_key(self._at(identity), identity))
            pipe.hgetall(consent_key(self._at(identity), identity))
        with _answering():
            answers = await pipe.execute() if wanted else []
            persons = [
                decode_index(raw) if raw else (0, Person((i,))) for i, raw in zip(wanted, answers[::2], strict=True)
            ]
            parts: Parts = {i: (None, fields) for i, fields in zip(wanted, answers[1::2], strict=True)}
            parts |= await self._consents({m for _, person in persons for m in person.members} - parts.keys())
        # one view of each person, however many of its ids are asked for
        views = [_view(version, person, parts) for version, person in dict.fromkeys(persons)]
        views = views if self._truth is None else await self._proven(self._truth, views, parts)
        held = {view.members: {m: view.held.get(m, Held()) for m in view.members} for view in views}
        return {identity: held[person.members] for identity, (_, person) in zip(wanted, persons, strict=True)}

    async def _consents(self, identities: AbstractSet[str]) -> Parts:
        pipe = self._redis.pipeline(transaction=False)
        for identity in identities:
            pipe.hgetall(consent_key(self._at(identity), identity))
        answers = await pipe.execute() if identities else []
        return {identity: (None, fields) for identity, fields in zip(identities, answers, strict=True)}

    async def _read(self, identities: Sequence[str]) -> list[PersonView]:
        # optimistic: most people have one identifier that counts, so its fragment is asked for with the index
        wanted = list(dict.fromkeys(identities))
        pipe = self._redis.pipeline(transaction=False)
        for identity in wanted:
            at = self._at(identity)
            mget(pipe, (fragment_key(at, identity), index_key(at, identity)))
            pipe.hgetall(consent_key(at, identity))
        answers = await pipe.execute()
        parts = {identity: (answers[2 * n][0], answers[2 * n + 1]) for n, identity in enumerate(wanted)}
        index = {identity: answers[2 * n][1] for n, identity in enumerate(wanted)}
        persons = {i: decode_index(raw) if raw else (0, Person((i,))) for i, raw in index.items()}
        missing = {m for _, person in persons.values() for m in person.members} - parts.keys()
        if missing:
            parts.update(await self._parts(sorted(missing)))
        views = [_view(*persons[identity], parts) for identity in identities]
        return views if self._truth is None else await self._proven(self._truth, views, parts)

    async def _proven(self, truth: Believed, views: list[PersonView], parts: Parts) -> list[PersonView]:
        """The views with what the ledger says, where a row is on its way to it or could not be read when the key was
        written, or Redis may have forgotten some. While the ledger does not answer, refusals on their way count as they
        stand; a Redis that forgot is not believed."""
        wanted = {m for view in views for m in view.members}
        waiting = {m: rows for m in wanted if (rows := pending_of(parts[m][1]))}
        closed = (m for view in views for m, one in view.held.items() if CLOSED in one.settings)
        asked = frozenset({*waiting, *closed} if truth.believed else wanted)
        if not asked:
            return views
        try:
            said = await truth.held(sorted(asked), waiting)
        except Unavailable:
            if not truth.believed:
                raise
            return views
        return [msgspec.structs.replace(view, held=_corrected(view, said, asked)) for view in views]

    async def _parts(self, identities: Sequence[str]) -> Parts:
        """Fragments by one MGET a partition: a person of many ids is read with few commands."""
        together: dict[int, list[str]] = {}
        for identity in identities:
            together.setdefault(self._at(identity), []).append(identity)
        pipe = self._redis.pipeline(transaction=False)
        for at, some in together.items():
            mget(pipe, [fragment_key(at, identity) for identity in some])
        for identity in identities:
            pipe.hgetall(consent_key(self._at(identity), identity))
        answers = await pipe.execute()
        found = zip(together.values(), answers[: len(together)], strict=True)
        fragments = {i: raw for some, raws in found for i, raw in zip(some, raws, strict=True)}
        consents = dict(zip(identities, answers[len(together) :], strict=True))
        return {identity: (fragments[identity], consents[identity]) for identity in identities}


def _view(version: int, person: Person, parts: Parts) -> PersonView:
    fragments = [parts[m][0] for m in person.members]
    held = {m: decode_held(parts[m][1]) for m in person.members if parts[m][1]}
    stored = tuple(unpack(raw) for raw in fragments if raw)
    return PersonView(person.profile_id, person.members, version, stored, held)


def _corrected(view: PersonView, said: Mapping[str, Held], asked: AbstractSet[str]) -> dict[str, Held]:
    """What a view's members hold, with the ledger's word for those it was asked about."""
    kept = {m: held for m, held in view.held.items() if m not in asked}
    return {**kept, **{m: said[m] for m in view.members if m in said}}


class RedisDecisions:
    """Recent decisions, as the worker wrote them. Waits a moment for one that is still on its way."""

    def __init__(self, redis: RedisClient, partitions: int, patience_s: float = 0.4) -> None:
        self._redis = redis
        self._partitions = partitions
        self._patience = patience_s

    async def decision(self, decision_id: str) -> DecisionRecord | None:
        profile_id = decision_id.partition(".")[0]
        key = decision_key(partition_of(profile_id, self._partitions), decision_id)
        waited = 0.0
        while True:
            try:
                raw = await self._redis.get(key)
            except FAILURES as error:
                raise Unavailable("the decision store does not answer; try again in a moment") from error
            if raw is not None:
                return decode_decision(raw)
            if waited >= self._patience:
                return None
            await asyncio.sleep(0.02)
            waited += 0.02


class RedisNotices:
    """Live changes over pub/sub: a lost notice costs a refresh, nothing else."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def changes(self) -> AsyncIterator[str]:
        pubsub = self._redis.pubsub()
        await pubsub.subscribe(CHANGES_CHANNEL)
        try:
            async for message in pubsub.listen():
                if message.get("type") == "message":
                    for profile_id in message["data"].decode().split(","):
                        yield profile_id
        finally:
            await pubsub.aclose()

    async def announce(self, profile_ids: Sequence[str]) -> None:
        if profile_ids:
            await self._redis.publish(CHANGES_CHANNEL, ",".join(profile_ids))
