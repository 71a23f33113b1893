"""One step of the stream as a pure function: a fragment and an event in, the new fragment and its effects as values
out. `replay` and the stream worker call this and nothing else. Knows nothing of how effects are carried out."""

import hashlib
from collections.abc import Iterator

import msgspec

from engine.erasure import ERASE, FORGET, before_of, erase, forget_claim, is_suppressed
from engine.events import Event
from engine.identifiers import IdentityRules
from engine.identity import NEGATIVE, OBSERVED, POSITIVE, UNSURE, Claim
from engine.outcome import BY_CUSTOMER, SHOWN
from engine.profile import Fragment, fold

# Whoever changes what an event does to a fragment gives it the next number: what was folded before is another then.
FOLD = "2"


class Rules(msgspec.Struct, frozen=True):
    """Everything that touches the fold; its version travels in each record, changing it is a rebuild."""

    identity: IdentityRules = IdentityRules()

    @property
    def version(self) -> str:
        return f"{FOLD}.{digest_of_identity(self.identity)}"


def digest_of_identity(rules: IdentityRules) -> str:
    """Another one where any rule about identifiers is, in whatever order their types are written."""
    return hashlib.sha256(msgspec.json.encode(rules, order="sorted")).hexdigest()[:12]


class Step(msgspec.Struct, frozen=True):
    """What an event did. `counts` are increments of cross-profile counters keyed `action|segment|outcome`;
    `derived` says whether anything that is derived from a profile (features, queues) can be another now."""

    fragment: Fragment
    changed: bool
    derived: bool = False
    claims: tuple[Claim, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()


OUTCOME, DECISION = "outcome", "decision"
LONGEST_REASON = 200
_EXPLICIT = {"link": POSITIVE, "unlink": NEGATIVE, "unsure": UNSURE}


def _claims(fragment: Fragment, event: Event, rules: Rules) -> Iterator[Claim]:
    home = event.identifiers[0]
    verdict = _EXPLICIT.get(event.kind)
    for other in event.identifiers[1:]:
        if verdict is not None:
            # the sentence must not pass for what only events say
            said = str(event.properties.get("reason") or event.kind)[:LONGEST_REASON]
            reason = event.kind if said == OBSERVED else said
            yield Claim(home.id, home.type, other.id, other.type, verdict, event.at, event.source, reason)
            continue
        if rules.identity.type_of(other.type).shared or rules.identity.type_of(home.type).shared:
            continue
        known = fragment.state.identifiers.get(other.id)
        if known is None or event.at <= known.at or known.at == 0:
            yield Claim(home.id, home.type, other.id, other.type, POSITIVE, event.at, event.source, OBSERVED)


def _counts(event: Event) -> Iterator[tuple[str, int]]:
    counted = "presented" if event.name in SHOWN else event.name if event.name in BY_CUSTOMER else None
    if counted is not None:
        properties = event.properties
        yield f"{properties.get('action_id', '')}|{properties.get('segment', '')}|{counted}", 1


def advance(fragment: Fragment, event: Event, rules: Rules) -> Step:
    """Fold one event. A duplicate leaves the fragment as it is and has no effects; so does what is dated before
    an erasure, but for its claims."""
    if event.kind == ERASE:
        emptied = erase(fragment, before_of(event))
        return Step(emptied, emptied is not fragment, emptied is not fragment)
    if event.kind == FORGET:
        return Step(fragment, True, claims=(forget_claim(event),))
    if is_suppressed(fragment, event):
        # whom it was seen with, identity must know: the erasure reaches them too
        return Step(fragment, False, claims=tuple(_claims(fragment, event, rules)) if event.identifiers else ())
    after = fold(fragment, event)
    if after is fragment:
        return Step(fragment, False)
    # a decision adds a line to the timeline and nothing that is counted; it may be the first word of somebody, though
    derived = event.kind != DECISION or not fragment.state.count
    # nearly every event has one identifier and is no outcome: nothing is built for what has no effects
    claims = tuple(_claims(fragment, event, rules)) if len(event.identifiers) > 1 else ()
    counts = tuple(_counts(event)) if event.kind == OUTCOME else ()
    return Step(after, True, derived, claims, counts)
