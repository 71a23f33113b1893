"""Who belongs together: verdicts on pairs of identifiers, and the persons that follow from the *set* of verdicts,
whatever order it came in. Knows nothing of events, profiles or storage."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from engine.identifiers import RESERVED, IdentityRules

POSITIVE, NEGATIVE, UNSURE = "positive", "negative", "unsure"
OBSERVED = "observed"


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """One verdict on a pair. `reason` is `observed` for what events show; anything else was said explicitly.

    Carries ids and types only: no identifier's value ever enters the links topic.
    """

    left: str
    left_type: str
    right: str
    right_type: str
    verdict: str
    at: int
    source: str
    reason: str = OBSERVED


class Edge(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one pair: the earliest observation and the latest explicit verdict."""

    left: str
    left_type: str
    right: str
    right_type: str
    observed: int | None = None
    explicit: tuple[int, str, str] | None = None

    @property
    def verdict(self) -> str:
        return self.explicit[1] if self.explicit else POSITIVE

    @property
    def strength(self) -> tuple[int, int]:
        """Explicit before observed, then the earlier the stronger."""
        return (0, self.explicit[0]) if self.explicit else (1, self.observed or 0)


class Conflict(msgspec.Struct, frozen=True, array_like=True):
    """A positive link that gave way, and to which rule."""

    left: str
    right: str
    rule: str


class Person(msgspec.Struct, frozen=True, array_like=True):
    """A component: its ids, strongest identifier first; the first is the profile id."""

    members: tuple[str, ...]

    @property
    def profile_id(self) -> str:
        return self.members[0]


Edges = Mapping[tuple[str, str], Edge]
_CAUTION = {POSITIVE: 0, UNSURE: 1, NEGATIVE: 2}


def pair(claim: Claim | Edge) -> tuple[str, str]:
    return (claim.left, claim.right) if claim.left < claim.right else (claim.right, claim.left)


def with_claim(edges: Edges, claim: Claim) -> dict[tuple[str, str], Edge]:
    """The edge set with one more claim; claims commute and repeat without effect.

    The latest explicit verdict holds; of two at the same moment the one that keeps people apart.
    """
    key = pair(claim)
    named = Edge(*_ends(claim))
    held = _better_named(edges.get(key, named), named)
    if claim.reason == OBSERVED and claim.verdict == POSITIVE:
        earliest = claim.at if held.observed is None else min(held.observed, claim.at)
        return {**edges, key: msgspec.structs.replace(held, observed=earliest)}
    said = (claim.at, claim.verdict, claim.source)
    latest = said if held.explicit is None else max(held.explicit, said, key=_authority)
    return {**edges, key: msgspec.structs.replace(held, explicit=latest)}


def _authority(said: tuple[int, str, str]) -> tuple[int, int, str]:
    at, verdict, source = said
    return at, _CAUTION.get(verdict, 1), source


def _definite(one: str, other: str) -> str:
    """Of two names for the type of one id the telling one: a reference by profile id does not know the type."""
    return min(one, other, key=lambda name: (name == RESERVED, name))


def _better_named(held: Edge, named: Edge) -> Edge:
    left, right = _definite(held.left_type, named.left_type), _definite(held.right_type, named.right_type)
    return msgspec.structs.replace(held, left_type=left, right_type=right)


def _ends(claim: Claim) -> tuple[str, str, str, str]:
    if claim.left < claim.right:
        return claim.left, claim.left_type, claim.right, claim.right_type
    return claim.right, claim.right_type, claim.left, claim.left_type


def _types(edges: Iterable[Edge]) -> dict[str, str]:
    found: dict[str, str] = {}
    for edge in edges:
        for identity, kind in ((edge.left, edge.left_type), (edge.right, edge.right_type)):
            found[identity] = _definite(found.get(identity, kind), kind)
    return found


def _refusal(
    together: Sequence[str], types: Mapping[str, str], refused: set[tuple[str, str]], rules: IdentityRules
) -> str:
    """The rule a component of these members would break, or nothing."""
    if len(together) > rules.max_component:
        return "too_large"
    counts: dict[str, int] = {}
    for member in together:
        counts[types[member]] = counts.get(types[member], 0) + 1
    for kind, count in counts.items():
        most = rules.type_of(kind).max_per_person
        if most and count > most:
            return f"more_than_{most}_{kind}"
    inside = set(together)
    if any(left in inside and right in inside for left, right in refused):
        return "negative"
    return ""


def components(edges: Edges, rules: IdentityRules) -> tuple[tuple[Person, ...], tuple[Conflict, ...]]:
    """Persons and conflicts from a set of edges, independent of the order in which it grew.

    Positive edges are tried strongest first; one that would break a rule gives way and is listed.
    """
    types = _types(edges.values())
    member_of: dict[str, list[str]] = {identity: [identity] for identity in types}
    refused = {key for key, edge in edges.items() if edge.verdict == NEGATIVE}
    links = sorted((e for e in edges.values() if e.verdict == POSITIVE), key=lambda e: (e.strength, pair(e)))
    conflicts = []
    for edge in links:
        left, right = member_of[edge.left], member_of[edge.right]
        if left is right:
            continue
        rule = _refusal([*left, *right], types, refused, rules)
        if rule:
            conflicts.append(Conflict(edge.left, edge.right, rule))
            continue
        left.extend(right)
        for member in right:
            member_of[member] = left
    groups = {id(group): group for group in member_of.values()}
    persons = [Person(tuple(sorted(g, key=lambda m: (rules.rank(types[m]), m)))) for g in groups.values()]
    return tuple(sorted(persons, key=lambda p: p.profile_id)), tuple(conflicts)
