"""Keys of one Redis taken over into another as they are, with the time they have left. Knows bytes; nothing of what
they mean, except which of them are fragments and which are signs of life."""

from collections.abc import Sequence

from infra.redis_store import RedisClient

SCAN_COUNT, AT_ONCE = 5_000, 500
TRANSIENT = (b"rapport:alive:", b"rapport:paused:")


def is_fragment(key: bytes) -> bool:
    return key.startswith(b"{p") and key.partition(b"}")[2].startswith(b"f:")


class Copying:
    """From a Redis nobody writes to meanwhile into one that nobody uses yet."""

    def __init__(self, source: RedisClient, target: RedisClient) -> None:
        self._source = source
        self._target = target

    async def everything_but_fragments(self) -> int:
        """Make the target hold what the source holds, fragments left as they are; returns how many keys were taken."""
        wanted = [key for key in await _keys(self._source) if not (is_fragment(key) or key.startswith(TRANSIENT))]
        for some in _parts(wanted):
            await self._take(some)
        gone = set(await _keys(self._target)) - set(wanted)
        for some in _parts(sorted(key for key in gone if not is_fragment(key))):
            pipe = self._target.pipeline(transaction=False)
            for key in some:
                pipe.delete(key)
            await pipe.execute()
        return len(wanted)

    async def _take(self, keys: Sequence[bytes]) -> None:
        pipe = self._source.pipeline(transaction=False)
        for key in keys:
            pipe.dump(key)
            pipe.pttl(key)
        answers = await pipe.execute()
        into = self._target.pipeline(transaction=False)
        for key, value, left in zip(keys, answers[::2], answers[1::2], strict=True):
            # what ran out meanwhile is gone from both
            if value is not None:
                into.restore(key, max(left, 0), value, replace=True)
        await into.execute()


async def _keys(redis: RedisClient) -> list[bytes]:
    return sorted({key async for key in redis.scan_iter(count=SCAN_COUNT)})


def _parts(keys: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE)]
