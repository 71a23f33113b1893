"""How who belongs together came about: the verdicts that touch a person in time order and what each one did, and what
to do about a link that gave way. Knows verdicts only; no storage, and no identifier's value."""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from engine.identifiers import IdentityRules
from engine.identity import (
    NEGATIVE,
    OBSERVED,
    POSITIVE,
    Claim,
    Edge,
    Edges,
    Person,
    components,
    pair,
    with_claim,
    with_claims,
)

JOINED, PARTED, KEPT_APART, GAVE_WAY, NOTHING = "joined", "parted", "kept_apart", "gave_way", "nothing"


class Effect(msgspec.Struct, frozen=True):
    """What one verdict did when it came: a code, a sentence, the rule where it gave way to one, and the profile ids of
    its two ends right after it."""

    code: str
    text: str
    rule: str
    left_profile: str
    right_profile: str


class Episode(msgspec.Struct, frozen=True):
    """One verdict and its effect."""

    claim: Claim
    effect: Effect


class Advice(msgspec.Struct, frozen=True):
    """Why a link gave way, and what to do about it."""

    text: str
    remedy: str


_TEXTS = {
    JOINED: "the two became one person",
    PARTED: "they stopped being one person",
    KEPT_APART: "they were two persons and stay two, whatever links come by other ways",
    GAVE_WAY: "it gave way to a rule, and they stayed two persons",
    NOTHING: "it changed nobody: what it says held already, or is undecided",
}
_ADVICE: tuple[tuple[str, Advice], ...] = (
    (
        "more_than",
        Advice(
            "together they would hold more identifiers of one type than a person may",
            "If these are two people (a shared browser, a family's address), unlink the pair: it then stays apart for"
            " good and leaves this list. If it is one person with two accounts, unlink the account that is not theirs"
            " from what it was linked to, or raise max_per_person of that type in identity.yaml and rebuild.",
        ),
    ),
    (
        "too_large",
        Advice(
            "together they would have more identifiers than one person may",
            "Look at what the largest part has in common: a test account, a bot or a machine in a shop. Put that value"
            " on the list of blocked values in identity.yaml and rebuild, or unlink the pair.",
        ),
    ),
    (
        "negative",
        Advice(
            "somebody said that two identifiers on the two sides are not one person",
            "The unlink stands until it is taken back: say link for the very pair that was unlinked if that was a"
            " mistake; otherwise unlink this pair too, and it leaves this list.",
        ),
    ),
    (
        "shared",
        Advice(
            "identifiers of a shared type belong to nobody and link nobody",
            "Unlink the pair. If the type does name people, take `shared` from it in identity.yaml and rebuild.",
        ),
    ),
    (
        "unknown_type",
        Advice(
            "the type of one of the identifiers is not known, so no rule could be kept for it",
            "Say link again with type:value instead of profile_id:, or wait for an event that carries the identifier.",
        ),
    ),
)
_OTHERWISE = Advice("a rule of identity.yaml does not allow it", "Unlink the pair, or change the rule and rebuild.")


def advice(rule: str) -> Advice:
    """What a rule's name in a conflict means and what to do."""
    return next((found for start, found in _ADVICE if rule.startswith(start)), _OTHERWISE)


def verdicts(edges: Edges) -> list[Claim]:
    """Every verdict these edges keep, in time order: the earliest observation of each pair and all that was said."""
    found = [claim for edge in edges.values() for claim in _verdicts_of(edge)]
    return sorted(found, key=lambda c: (c.at, pair(c), c.reason, c.verdict, c.source))


def _verdicts_of(edge: Edge) -> Iterator[Claim]:
    ends = (edge.left, edge.left_type, edge.right, edge.right_type)
    if edge.observed is not None:
        at, source = edge.observed
        yield Claim(*ends, POSITIVE, at, source, OBSERVED)
    for said in edge.said:
        yield Claim(*ends, said.verdict, said.at, said.source, said.reason)


def history(edges: Edges, rules: IdentityRules, members: Collection[str], page: slice) -> tuple[list[Episode], int]:
    """A page of the verdicts that touch any of `members`, oldest first, and how many there are. `edges` is the whole
    group; each effect is that of the verdict among all that were said before it."""
    everything = verdicts(edges)
    touching = [n for n, claim in enumerate(everything) if claim.left in members or claim.right in members]
    return [_episode(everything[:n], everything[n], rules) for n in touching[page]], len(touching)


def _episode(earlier: Sequence[Claim], claim: Claim, rules: IdentityRules) -> Episode:
    before = with_claims({}, earlier)
    after = with_claim(before, claim)
    known, _ = components(before, rules)
    was_one = _named(known, claim.left) == _named(known, claim.right)
    persons, conflicts = components(after, rules)
    left, right = (_named(persons, end) for end in (claim.left, claim.right))
    rule = next((one.rule for one in conflicts if {one.left, one.right} == set(pair(claim))), "")
    code = _code(claim.verdict, rule, (was_one, left == right))
    return Episode(claim, Effect(code, _TEXTS[code], rule if code == GAVE_WAY else "", left, right))


def _code(verdict: str, rule: str, one: tuple[bool, bool]) -> str:
    if one == (False, True):
        return JOINED
    if one == (True, False):
        return PARTED
    if verdict == NEGATIVE and not one[1]:
        return KEPT_APART
    return GAVE_WAY if rule and verdict == POSITIVE else NOTHING


def _named(persons: Sequence[Person], identity: str) -> str:
    return next((person.profile_id for person in persons if identity in person.members), identity)
