"""Replay: the stream's own `advance` in a `for` loop. Knows nothing of where events come from."""

from collections.abc import Callable, Iterable

from engine.events import Event
from engine.profile import Fragment
from engine.step import Rules, Step, advance


def replay(
    events: Iterable[Event], rules: Rules, seen: Callable[[Event, Step], None] | None = None
) -> dict[str, Fragment]:
    """Fold events in the order given into fragments by home; `seen` is told of every step."""
    fragments: dict[str, Fragment] = {}
    for event in events:
        step = advance(fragments.get(event.home) or Fragment(event.home), event, rules)
        fragments[event.home] = step.fragment
        if seen is not None:
            seen(event, step)
    return fragments
