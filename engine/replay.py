"""Replay: the stream's own `advance` in a `for` loop, and the persons that follow from recorded claims. Knows nothing
of where events and claims come from."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from engine.erasure import Links, learn_all
from engine.events import Event
from engine.identifiers import IdentityRules
from engine.identity import Claim, Connected, Person, components
from engine.profile import Fragment
from engine.records import Position
from engine.step import Rules, Step, advance


class Applied(msgspec.Struct, frozen=True):
    """One event as it was applied: the record it came in, its place there, and when (ms)."""

    position: Position
    index: int
    applied: int
    event: Event


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


def relate_again(claims: Iterable[Claim], rules: IdentityRules) -> dict[str, Person]:
    """Who every id belongs to after these claims, in the order they were recorded; only ids of some claim are in it."""
    found: dict[str, Person] = {}
    for group in together(claims):
        for person in components(learn_all(Links(), group, rules).edges, rules)[0]:
            found |= dict.fromkeys(person.members, person)
    return found


def together(claims: Iterable[Claim]) -> list[list[Claim]]:
    """Claims by group: whatever is connected by claims of any kind. Each group keeps its order."""
    kept = list(claims)
    connected = Connected((claim.left, claim.right) for claim in kept)
    groups: dict[str, list[Claim]] = {}
    for claim in kept:
        groups.setdefault(connected.name(claim.left), []).append(claim)
    return list(groups.values())


def members_of(persons: Mapping[str, Person], identity: str) -> tuple[str, ...]:
    """The person's ids, strongest first; an id that no claim names stands alone."""
    return persons[identity].members if identity in persons else (identity,)
