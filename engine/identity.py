"""Who belongs together: verdicts on pairs of identifiers, and the persons that follow from the *set* of verdicts,
whatever order it came in. Knows nothing of events, profiles or storage."""

from collections.abc import Iterable, Mapping

import msgspec

from engine.identifiers import RESERVED, IdentityRules

POSITIVE, NEGATIVE, UNSURE = "positive", "negative", "unsure"
OBSERVED = "observed"
SAID_SIZE = 50


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


class Said(msgspec.Struct, frozen=True, array_like=True):
    """One explicit verdict on a pair: when (ms), what, who, why."""

    at: int
    verdict: str
    source: str
    reason: str


class Edge(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one pair: the earliest observation (ms, source) and the explicit verdicts, oldest first, the
    newest 50 of them. The last one holds; without any, what was observed does."""

    left: str
    left_type: str
    right: str
    right_type: str
    observed: tuple[int, str] | None = None
    said: tuple[Said, ...] = ()

    @property
    def verdict(self) -> str:
        return self.said[-1].verdict if self.said else POSITIVE

    @property
    def strength(self) -> tuple[int, int]:
        """Explicit before observed, then the earlier the stronger."""
        return (0, self.said[-1].at) if self.said else (1, self.observed[0] if self.observed else 0)


class Conflict(msgspec.Struct, frozen=True, array_like=True):
    """A positive link that gave way, to which rule, and who had said it when (ms)."""

    left: str
    left_type: str
    right: str
    right_type: str
    rule: str
    at: int
    source: str


class Person(msgspec.Struct, frozen=True, array_like=True):
    """A component: its ids, strongest identifier first; the first is the profile id."""

    members: tuple[str, ...]

    @property
    def profile_id(self) -> str:
        return self.members[0]


Pair = tuple[str, str]
Edges = Mapping[Pair, Edge]
_CAUTION = {POSITIVE: 0, UNSURE: 1, NEGATIVE: 2}


def pair(claim: Claim | Edge) -> Pair:
    return (claim.left, claim.right) if claim.left < claim.right else (claim.right, claim.left)


def with_claims(edges: Edges, claims: Iterable[Claim]) -> dict[Pair, Edge]:
    """The edge set with more claims; claims commute and repeat without effect.

    The latest explicit verdict holds; of two at the same moment the one that keeps people apart.
    """
    grown = dict(edges)
    for claim in claims:
        key = pair(claim)
        named = Edge(*_ends(claim))
        grown[key] = _with(_better_named(grown.get(key, named), named), claim)
    return grown


def with_claim(edges: Edges, claim: Claim) -> dict[Pair, Edge]:
    """The edge set with one more claim."""
    return with_claims(edges, (claim,))


def _with(held: Edge, claim: Claim) -> Edge:
    if claim.reason == OBSERVED and claim.verdict == POSITIVE:
        seen = (claim.at, claim.source)
        earliest = seen if held.observed is None else min(held.observed, seen)
        return msgspec.structs.replace(held, observed=earliest)
    said = {*held.said, Said(claim.at, claim.verdict, claim.source, claim.reason)}
    return msgspec.structs.replace(held, said=tuple(sorted(said, key=_authority)[-SAID_SIZE:]))


def _authority(said: Said) -> tuple[int, int, str, str]:
    return said.at, _CAUTION.get(said.verdict, 1), said.source, said.reason


def _definite(one: str, other: str) -> str:
    """Of two names for the type of one id the telling one: a reference by profile id does not know the type."""
    return min(one, other, key=lambda name: (name == RESERVED, name))


def _better_named(held: Edge, named: Edge) -> Edge:
    left, right = _definite(held.left_type, named.left_type), _definite(held.right_type, named.right_type)
    if (left, right) == (held.left_type, held.right_type):
        return held
    return msgspec.structs.replace(held, left_type=left, right_type=right)


def _ends(claim: Claim) -> tuple[str, str, str, str]:
    if claim.left < claim.right:
        return claim.left, claim.left_type, claim.right, claim.right_type
    return claim.right, claim.right_type, claim.left, claim.left_type


def types_of(edges: Iterable[Edge]) -> dict[str, str]:
    """The type of every id in these edges: whichever edge knows it tells the others."""
    found: dict[str, str] = {}
    for edge in edges:
        for identity, kind in ((edge.left, edge.left_type), (edge.right, edge.right_type)):
            found[identity] = _definite(found.get(identity, kind), kind)
    return found


class _Group:
    """A component while it grows: its members and how many of each type."""

    __slots__ = ("counts", "members")

    def __init__(self, member: str, kind: str) -> None:
        self.members = [member]
        self.counts = {kind: 1}

    def take(self, other: "_Group") -> None:
        self.members += other.members
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count


class _Growth:
    """Components under construction. Links are offered strongest first; each joins two groups or names its rule."""

    def __init__(self, edges: Edges, rules: IdentityRules) -> None:
        self.rules = rules
        self.types = types_of(edges.values())
        self.group_of = {identity: _Group(identity, kind) for identity, kind in self.types.items()}
        self.apart: dict[str, list[str]] = {}
        for (left, right), edge in edges.items():
            if edge.verdict == NEGATIVE:
                self.apart.setdefault(left, []).append(right)
                self.apart.setdefault(right, []).append(left)

    def offer(self, edge: Edge) -> str:
        """Join the two ends, or the rule that the link would break."""
        left, right = self.group_of[edge.left], self.group_of[edge.right]
        if left is right:
            return ""
        large, small = (left, right) if len(left.members) >= len(right.members) else (right, left)
        rule = self._unfit(edge) or self._refusal(large, small)
        if not rule:
            large.take(small)
            self.group_of.update(dict.fromkeys(small.members, large))
        return rule

    def _unfit(self, edge: Edge) -> str:
        """A shared identifier belongs to nobody; and under an unknown type no rule could be kept."""
        kinds = sorted({self.types[edge.left], self.types[edge.right]}, key=lambda k: (self.rules.rank(k), k))
        if RESERVED in kinds:
            return "unknown_type"
        return next((f"shared_{kind}" for kind in kinds if self.rules.type_of(kind).shared), "")

    def _refusal(self, large: _Group, small: _Group) -> str:
        if len(large.members) + len(small.members) > self.rules.max_component:
            return "too_large"
        for kind in sorted(small.counts.keys() & large.counts.keys(), key=lambda k: (self.rules.rank(k), k)):
            most = self.rules.type_of(kind).max_per_person
            if most and small.counts[kind] + large.counts[kind] > most:
                return f"more_than_{most}_{kind}"
        if any(self.group_of[other] is large for member in small.members for other in self.apart.get(member, ())):
            return "negative"
        return ""


def components(edges: Edges, rules: IdentityRules) -> tuple[tuple[Person, ...], tuple[Conflict, ...]]:
    """Persons and conflicts from a set of edges, independent of the order in which it grew.

    Positive edges are tried strongest first; one that would break a rule gives way and is listed. Nothing that is
    tried later can undo a verdict that keeps two identifiers apart.
    """
    growth = _Growth(edges, rules)
    links = sorted((e for e in edges.values() if e.verdict == POSITIVE), key=lambda e: (e.strength, pair(e)))
    conflicts = []
    for edge in links:
        rule = growth.offer(edge)
        if rule:
            conflicts.append(_conflict(edge, growth.types, rule))
    groups = {id(group): group.members for group in growth.group_of.values()}
    persons = [Person(tuple(sorted(g, key=lambda m: (rules.rank(growth.types[m]), m)))) for g in groups.values()]
    return tuple(sorted(persons, key=lambda p: p.profile_id)), tuple(conflicts)


def _conflict(edge: Edge, types: Mapping[str, str], rule: str) -> Conflict:
    last = edge.said[-1] if edge.said else None
    at, source = (last.at, last.source) if last else edge.observed or (0, "")
    return Conflict(edge.left, types[edge.left], edge.right, types[edge.right], rule, at, source)


class Connected:
    """Groups of ids that pairs connect; each is named after its smallest id, and an id no pair has is one alone."""

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self._parent: dict[str, str] = {}
        for one, other in pairs:
            self.join(one, other)

    def name(self, identity: str) -> str:
        """Of the group that the id is in."""
        parent = self._parent
        while parent.setdefault(identity, identity) != identity:
            parent[identity] = parent[parent[identity]]
            identity = parent[identity]
        return identity

    def join(self, one: str, other: str) -> Pair:
        """Make one group of the two that these are in: its name, and the other's that it replaces (or the same)."""
        low, high = sorted((self.name(one), self.name(other)))
        self._parent[high] = low
        return low, high


def grouped(edges: Edges) -> dict[str, list[Edge]]:
    """Edge sets by connected group, verdicts of any kind connecting; a group is named after its smallest id."""
    connected = Connected(edges)
    groups: dict[str, list[Edge]] = {}
    for key in sorted(edges):
        groups.setdefault(connected.name(key[0]), []).append(edges[key])
    return groups
