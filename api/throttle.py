"""How many requests a second each key may send: a token bucket per key, in this process. Knows names and times."""

import msgspec


class Allowance(msgspec.Struct, frozen=True):
    """Whether a request may pass, how many more may pass at once, and the seconds to wait when it may not."""

    passes: bool
    remaining: int
    wait_s: int


class Throttle:
    """Buckets of `rate` tokens that fill at `rate` a second; a rate of 0 lets everything pass."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._levels: dict[str, tuple[float, int]] = {}

    def take(self, key: str, at: int) -> Allowance:
        """One request of `key` at `at` (ms)."""
        if not self.rate:
            return Allowance(True, 0, 0)
        level, since = self._levels.get(key, (float(self.rate), at))
        level = min(level + max(at - since, 0) * self.rate / 1000, float(self.rate))
        passes = level >= 1.0
        self._levels[key] = (level - passes, max(at, since))
        return Allowance(passes, int(level - passes), 0 if passes else 1)

    def headers(self, allowance: Allowance) -> dict[str, str]:
        """The RateLimit fields of an answer; none where there is no limit."""
        if not self.rate:
            return {}
        return {
            "RateLimit-Policy": f'"ingest";q={self.rate};w=1',
            "RateLimit": f'"ingest";r={allowance.remaining};t=1',
        }
