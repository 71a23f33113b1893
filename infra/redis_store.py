"""Redis as people are read from it: connection, persons, decisions, queues' pages and live notices. Writing is done
elsewhere; nothing here knows a rule."""

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.consent import Held, Statement
from engine.identity import Person
from engine.ports import Entry, PersonView, Stored, Unavailable
from engine.records import DecisionRecord, decode_decision, partition_of
from infra.topics import consent_key, decision_key, fragment_key, index_key

# redis-py types every answer as text or bytes, whichever the client decodes to; ours never decodes
RedisClient = Any
FAILURES = (RedisError, OSError, TimeoutError)
CHANGES_CHANNEL = "changes"
_STORED = msgspec.msgpack.Decoder(Stored)
_STATEMENT = msgspec.msgpack.Decoder(Statement)
_MEMBERS = msgspec.msgpack.Decoder(tuple[str, ...])
_ENTRY = msgspec.msgpack.Decoder(Entry)
_VERSION = struct.Struct(">Q")
SECONDS = 5.0


def connect(url: str) -> RedisClient:
    """A client for one server, or for a cluster where the URL says `?cluster=true`; both take the same commands here,
    since the keys of one call share a slot."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.02), 3)
    options: dict[str, Any] = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS, "retry": retry}
    address, clustered = nearest(url)
    if clustered:
        return RedisCluster.from_url(address, **options)
    options["retry_on_error"] = [RedisConnectionError, RedisTimeoutError]
    # a crowd waits for a connection instead of being refused one
    return Redis.from_pool(BlockingConnectionPool.from_url(address, max_connections=64, timeout=SECONDS, **options))


def nearest(url: str) -> tuple[str, bool]:
    """The address redis-py takes, and whether a cluster is there. A fragment names the same server's local socket,
    which answers in half the time of TCP; clients that know nothing of it, like Feast's, use the rest of the URL."""
    address, _, query = url.partition("?")
    if "cluster=true" in query:
        return address, True
    asked = urlsplit(url)
    return (f"unix://{asked.fragment}?db={asked.path.strip('/') or 0}" if asked.fragment else url), False


def encode_index(version: int, members: Sequence[str]) -> bytes:
    """An index entry: link version in eight bytes, then the person's members, strongest first."""
    return _VERSION.pack(version) + msgspec.msgpack.encode(tuple(members))


def decode_index(data: bytes) -> tuple[int, Person]:
    return _VERSION.unpack_from(data)[0], Person(_MEMBERS.decode(data[8:]))


def decode_held(fields: dict[bytes, bytes]) -> Held:
    """One consent hash: `s:`/`e:` statements by purpose, `p:channel:topic` preferences, `k:` settings, `v` version."""
    statements: dict[str, tuple[Statement, ...]] = {}
    preferences: dict[str, dict[str, bool]] = {}
    settings: dict[str, str] = {}
    for raw, value in sorted(fields.items()):
        kind, _, name = raw.decode().partition(":")
        if kind in ("s", "e"):
            statements[name] = (*statements.get(name, ()), _STATEMENT.decode(value))
        elif kind == "p":
            channel, _, about = name.partition(":")
            preferences.setdefault(channel, {})[about] = value == b"1"
        elif kind == "k":
            settings[name] = value.decode()
    return Held(statements, preferences, settings, int(fields.get(b"v", 0)))


class RedisPeople:
    """`engine.ports.People`: two pipelined round trips, three for linked people."""

    def __init__(self, redis: RedisClient, partitions: int) -> None:
        self._redis = redis
        self._partitions = partitions

    def _at(self, identity: str) -> int:
        return partition_of(identity, self._partitions)

    async def person(self, identity: str) -> PersonView:
        return (await self.people([identity]))[0]

    async def people(self, identities: Sequence[str]) -> list[PersonView]:
        """Views in the order asked. Raises `Unavailable` when Redis does not answer."""
        try:
            return await self._read(identities)
        except RedisError as error:
            raise Unavailable("the profile store does not answer; try again in a moment") from error

    async def _read(self, identities: Sequence[str]) -> list[PersonView]:
        # optimistic: most people have one identifier that counts, so its fragment is asked for with the index
        wanted = list(dict.fromkeys(identities))
        pipe = self._redis.pipeline(transaction=False)
        for identity in wanted:
            at = self._at(identity)
            pipe.mget((fragment_key(at, identity), index_key(at, identity)))
            pipe.hgetall(consent_key(at, identity))
        answers = await pipe.execute()
        parts = {identity: (answers[2 * n][0], answers[2 * n + 1]) for n, identity in enumerate(wanted)}
        index = {identity: answers[2 * n][1] for n, identity in enumerate(wanted)}
        persons = {i: decode_index(raw) if raw else (0, Person((i,))) for i, raw in index.items()}
        missing = {m for _, person in persons.values() for m in person.members} - parts.keys()
        if missing:
            parts.update(await self._parts(sorted(missing)))
        return [_view(*persons[identity], parts) for identity in identities]

    def _queue(self, pipe: Any, identity: str) -> None:
        pipe.get(fragment_key(self._at(identity), identity))
        pipe.hgetall(consent_key(self._at(identity), identity))

    async def _parts(self, identities: Sequence[str]) -> dict[str, tuple[bytes | None, dict[bytes, bytes]]]:
        pipe = self._redis.pipeline(transaction=False)
        for identity in identities:
            self._queue(pipe, identity)
        answers = await pipe.execute()
        return {identity: (answers[2 * n], answers[2 * n + 1]) for n, identity in enumerate(identities)}


def _view(version: int, person: Person, parts: dict[str, tuple[bytes | None, dict[bytes, bytes]]]) -> PersonView:
    fragments = [parts[m][0] for m in person.members]
    held = {m: decode_held(parts[m][1]) for m in person.members if parts[m][1]}
    stored = tuple(_STORED.decode(raw) for raw in fragments if raw)
    return PersonView(person.profile_id, person.members, version, stored, held)


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
            except RedisError as error:
                raise Unavailable("the decision store does not answer; try again in a moment") from error
            if raw is not None:
                return decode_decision(raw)
            if waited >= self._patience:
                return None
            await asyncio.sleep(0.02)
            waited += 0.02


# Versions are digits of fixed width. Who never was in the queue leaves no trace by not getting in.
_PLACE = """
for a = 1, #ARGV, 4 do
  local id, version = ARGV[a], ARGV[a + 1]
  local held = redis.call('HGET', KEYS[3], id)
  if not held or held <= version then
    if ARGV[a + 3] ~= '' then
      redis.call('ZADD', KEYS[1], ARGV[a + 2], id)
      redis.call('HSET', KEYS[2], id, ARGV[a + 3])
      redis.call('HSET', KEYS[3], id, version)
    elseif held then
      redis.call('ZREM', KEYS[1], id)
      redis.call('HDEL', KEYS[2], id)
      redis.call('HSET', KEYS[3], id, version)
    end
  end
end
"""


class RedisQueues:
    """`engine.ports.Queues` over a sorted set and a hash per queue."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._place = redis.register_script(_PLACE)

    async def entries(self, queue: str, limit: int, offset: int = 0) -> tuple[list[Entry], int]:
        try:
            total = int(await self._redis.zcard(queue_key(queue)))
            ids = await self._redis.zrevrange(queue_key(queue), offset, offset + limit - 1)
            raws = await self._redis.hmget(queue_entries_key(queue), ids) if ids else []
        except RedisError as error:
            raise Unavailable("the outreach store does not answer; try again in a moment") from error
        return [_ENTRY.decode(raw) for raw in raws if raw], total

    async def write(self, queue: str, places: Mapping[str, tuple[bytes, Entry | None]]) -> None:
        """Put each profile's entry into the queue, or take it out (None); what came from a newer version stays."""
        arguments: list[str | bytes | float] = []
        for profile_id, (version, entry) in places.items():
            priority, data = (entry.priority, msgspec.msgpack.encode(entry)) if entry is not None else (0.0, b"")
            arguments += [profile_id, version, priority, data]
        if arguments:
            keys = [queue_key(queue), queue_entries_key(queue), queue_versions_key(queue)]
            await self._place(keys=keys, args=arguments)


def queue_key(queue: str) -> str:
    return f"{{q:{queue}}}z"


def queue_entries_key(queue: str) -> str:
    return f"{{q:{queue}}}e"


def queue_versions_key(queue: str) -> str:
    return f"{{q:{queue}}}v"


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
