"""How often Python looks for reference cycles in our long-running processes. They hold many small values and hardly
ever a cycle: with the usual thresholds looking costs more than a third of the stream's time."""

import gc

NEW_OBJECTS, YOUNG_ROUNDS, MIDDLE_ROUNDS = 100_000, 20, 50


def look_seldom() -> None:
    """Call once everything is imported and opened: what exists now is never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, YOUNG_ROUNDS, MIDDLE_ROUNDS)
