"""The time of this machine, for whoever is handed a clock. Knows no other."""

import time


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
