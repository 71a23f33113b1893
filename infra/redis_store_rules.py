"""By which rules the state in Redis was made, held against those that run now. Knows how that is recorded; nothing of
what the rules say."""

from collections.abc import Mapping, Sequence

from engine.identifiers import IdentityRules
from engine.step import FOLD, digest_of_identity
from features.spec import SPEC_HASH
from infra.redis_store import RedisClient

RULES = "rapport:rules"
FEATURES = "features"
_WORDS = {"fold": "what events do to a fragment", "identity": "identity.yaml", FEATURES: "the feature spec"}


def rules_now(identity: IdentityRules) -> dict[str, str]:
    """What decides how state comes to be, by name: the fold, who belongs together, what is published of a profile."""
    return {"fold": FOLD, "identity": digest_of_identity(identity), FEATURES: SPEC_HASH}


def unlike(made: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names of the rules that are others than those the state was made with."""
    return [name for name in now if made.get(name, now[name]) != now[name]]


def said(names: Sequence[str]) -> str:
    """What to do about rules that are others; empty where none is."""
    if not names:
        return ""
    told = " and ".join(_WORDS.get(name, name) for name in names)
    return f"the state was made with other rules ({told}); run `rapport replay --switch` to bring it up to these"


class RulesRecord:
    """The record beside the state. Only the first start and a whole rebuild that was put in place write it."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def claim(self, now: Mapping[str, str]) -> None:
        """Record what is recorded nowhere yet: state that is made from now on is made by these."""
        pipe = self._redis.pipeline(transaction=False)
        for name, digest in now.items():
            pipe.hsetnx(RULES, name, digest)
        await pipe.execute()

    async def made(self) -> dict[str, str]:
        found: Mapping[bytes, bytes] = await self._redis.hgetall(RULES)
        return {name.decode(): digest.decode() for name, digest in found.items()}

    async def replace(self, now: Mapping[str, str]) -> None:
        await self._redis.hset(RULES, mapping=dict(now))
