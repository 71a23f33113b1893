"""The decision: who is a candidate and why not, what a candidate scores, and which slate is drawn with what
probability. Knows nothing of models (probabilities come in), of storage or of where an id comes from."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from engine.catalog import Action, Catalogue, ContactPolicy, Exploration, Placement, instant
from engine.consent import IS_RESTRICTED, Consent, Visible
from engine.limits import WINDOWS
from engine.profile import Contact
from engine.quiet import is_quiet
from engine.rules import Facts
from engine.signals import DAY


class Blocked(msgspec.Struct, frozen=True):
    """An action that was not a candidate, the rule that held it back and a sentence about it."""

    action_id: str
    rule: str
    detail: str


class Scored(msgspec.Struct, frozen=True):
    """A candidate with everything arbitration multiplies. `probability` is that of a good outcome when shown, `draws`
    what each member of the model's ensemble says of it, where it has one."""

    action_id: str
    probability: float
    value: float
    weight: float = 1.0
    lever: float = 1.0
    explorable: bool = True
    group: str = ""
    draws: tuple[float, ...] = ()

    @property
    def score(self) -> float:
        return self.probability * self.value * self.weight * self.lever


class Policy(msgspec.Struct, frozen=True):
    """How a slate is drawn: exploration, how many, and whether a group may appear twice."""

    exploration: Exploration = Exploration()
    limit: int = 1
    unique_groups: bool = True


class Ranked(msgspec.Struct, frozen=True):
    """One position of the slate. `propensity` is the probability of this action here, given the earlier positions."""

    candidate: int
    rank: int
    propensity: float
    explored: bool


class Decision(msgspec.Struct, frozen=True):
    """A drawn slate; `propensity` is that of the whole slate, `explored` whether any position left the greedy path."""

    slate: tuple[Ranked, ...]
    propensity: float
    explored: bool


class Moments(msgspec.Struct, frozen=True):
    """What the clock says to the policy: now in ms and the hours (0 to 23) of all zones that count for the person."""

    at: int
    hours: frozenset[int]


_UNFIT = {"applicability": "makes no sense now", "suitability": "not right for this customer"}


def _running(action: Action, at: int) -> bool:
    # most actions have no end
    return action.start is action.end is None or instant(action.start, 0) <= at < instant(action.end, 1 << 62)


def _unfit(action: Action, catalogue: Catalogue, facts: Facts) -> Blocked | None:
    for name, rule in catalogue.fitting[action.id]:
        if not rule.holds(facts):
            return Blocked(action.id, name, f"{_UNFIT[name]}: {rule.source}")
    return None


def ineligible(catalogue: Catalogue, placement: str, facts_of: Callable[[str], Facts], at: int) -> list[Blocked | None]:
    """What holds back each action placed there, in order: it is not running, not eligible, not applicable or not
    suitable. `facts_of` says what may be seen for a purpose; rules of one purpose are asked together."""
    actions = catalogue.placed(placement)
    found: list[Blocked | None] = [None] * len(actions)
    for group in catalogue.eligibility(placement):
        facts = facts_of(group.purpose)
        for place, holds in zip(group.places, group.rules.hold(facts), strict=True):
            action = actions[place]
            if not _running(action, at):
                found[place] = Blocked(action.id, "validity", "the action is not running now")
            elif not holds:
                found[place] = Blocked(action.id, "eligibility", f"not eligible: {action.when}")
            else:
                found[place] = _unfit(action, catalogue, facts)
    return found


def permitted(action: Action, placement: Placement, consent: Consent) -> Blocked | None:
    """Whether a person stands between where one must, and the customer's consent allows purpose and channel."""
    if action.needs_human and not placement.human:
        return Blocked(action.id, "needs_human", f"only a person may offer it; nobody looks at {placement.id} first")
    if not consent.allows(action.purpose):
        answer = consent.answers.get(action.purpose)
        status = answer.status if answer else "not configured"
        named = IS_RESTRICTED if consent.restricted else f"purpose {action.purpose} is {status}"
        return Blocked(action.id, "consent", named)
    if placement.channel not in action.channels:
        return Blocked(action.id, "channel", f"not offered on {placement.channel}")
    if placement.contact and not consent.reaches(placement.channel, action.category):
        return Blocked(action.id, "preference", f"no contact wanted by {placement.channel}")
    return None


def _count(contacts: Sequence[Contact], since: int, **wanted: str) -> int:
    return sum(1 for c in contacts if c.at > since and all(getattr(c, k) == v for k, v in wanted.items()))


def _capped(caps: Mapping[str, int], contacts: Sequence[Contact], at: int, **wanted: str) -> str | None:
    for window, most in caps.items():
        count = _count(contacts, at - WINDOWS[window], **wanted)
        if count >= most:
            return f"{count} of {most} approaches in {window} used"
    return None


def rested(
    action: Action, placement: Placement, visible: Visible, policy: ContactPolicy, now: Moments
) -> Blocked | None:
    """Whether contact policy lets the action through: cool-down and the action's own cap always; the other caps, which
    count approaches, and quiet hours where it is a contact."""
    declined = visible.declines.get(action.id)
    if declined is not None and declined > now.at - policy.rest_after_decline_days * DAY:
        return Blocked(action.id, "cool_down", "the customer declined it recently")
    capped = _capped(action.cap, visible.contacts, now.at, action_id=action.id)
    if capped:
        return Blocked(action.id, "cap", capped)
    if not placement.contact:
        return None
    channel, made = placement.channel, [contact for contact in visible.contacts if contact.approach]
    capped = (
        _capped(policy.caps, made, now.at)
        or _capped(policy.channel_caps.get(channel, {}), made, now.at, channel=channel)
        or _capped(policy.group_caps.get(action.group, {}), made, now.at, group=action.group)
    )
    if capped:
        return Blocked(action.id, "contact_cap", capped)
    if channel in policy.quiet_channels and any(is_quiet(hour, policy) for hour in now.hours):
        return Blocked(
            action.id, "quiet_hours", f"no {channel} between {policy.quiet_start}:00 and {policy.quiet_end}:00"
        )
    return None


def uniform_draw(seed: int, position: int) -> float:
    """A number in [0, 1) that depends on nothing but the seed (64 bits) and the position."""
    digest = hashlib.blake2b(seed.to_bytes(8, "big") + position.to_bytes(2, "big"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def seed_of(decision_id: str) -> int:
    """The seed of a decision: 64 bits, the most a record can carry."""
    return int.from_bytes(hashlib.blake2b(decision_id.encode(), digest_size=8).digest(), "big")


def greedy(scored: Sequence[Scored], remaining: Sequence[int]) -> int:
    """The candidate of the highest score; a tie goes to the earlier one. `remaining` is in ascending order."""
    return _best([one.score for one in scored], remaining)


def _best(scores: Sequence[float], remaining: Sequence[int]) -> int:
    return max(remaining, key=scores.__getitem__)


def propensities(scored: Sequence[Scored], remaining: Sequence[int], exploration: Exploration) -> list[float]:
    """The probability of each remaining candidate at the next position; sums to 1.

    The greedy choice is the highest score, a tie going to the earlier candidate. A share of 0 explores nobody.
    """
    return _chances(greedy(scored, remaining), scored, remaining, exploration)


def _chances(best: int, scored: Sequence[Scored], remaining: Sequence[int], exploration: Exploration) -> list[float]:
    explorable = [i for i in remaining if scored[i].explorable]
    if exploration.kind == "uniform":
        pool = explorable or list(remaining)
        return [1.0 / len(pool) if i in pool else 0.0 for i in remaining]
    share = exploration.share if exploration.kind != "none" and explorable else 0.0
    each = share / len(explorable) if explorable else 0.0
    kept = _EXPLOITING.get(exploration.kind)
    if kept is None:
        return [(1.0 - share if i == best else 0.0) + (each if scored[i].explorable else 0.0) for i in remaining]
    chosen = kept(best, scored, [i for i in remaining if i == best or scored[i].explorable], exploration.temperature)
    return [(1.0 - share) * chosen.get(i, 0.0) + (each if scored[i].explorable else 0.0) for i in remaining]


def _softmax(best: int, scored: Sequence[Scored], pool: Sequence[int], temperature: float) -> dict[int, float]:
    """In proportion to e to the power of how far below the best a score lies, in temperatures of the best."""
    top = scored[best].score
    unit = abs(top) * temperature
    weights = {i: math.exp((scored[i].score - top) / unit) if unit > 0.0 else 1.0 for i in pool}
    total = sum(weights.values())
    return {i: weight / total for i, weight in weights.items()}


def _thompson(best: int, scored: Sequence[Scored], pool: Sequence[int], _temperature: float) -> dict[int, float]:
    """Each member of the ensemble has one vote, a tie going to the earlier candidate; without one the best is sure."""
    members = len(scored[best].draws)
    if not members:
        return {best: 1.0}
    worth = {i: scored[i].value * scored[i].weight * scored[i].lever for i in pool}
    votes: dict[int, float] = {}
    for member in range(members):
        drawn = {i: scored[i].draws[member] * worth[i] for i in pool}
        chosen = max(drawn, key=drawn.__getitem__)
        votes[chosen] = votes.get(chosen, 0.0) + 1.0 / members
    return votes


_EXPLOITING: dict[str, Callable[[int, Sequence[Scored], Sequence[int], float], dict[int, float]]] = {
    "softmax": _softmax,
    "thompson": _thompson,
}


def _pick(chances: Sequence[float], draw: float) -> int:
    reached = 0.0
    last = 0
    for index, chance in enumerate(chances):
        if chance > 0.0:
            reached += chance
            last = index
            if draw < reached:
                return index
    return last


def _positions(scored: Sequence[Scored], policy: Policy, seed: int) -> Iterator[Ranked]:
    remaining = list(range(len(scored)))
    scores = [one.score for one in scored]
    for rank in range(1, policy.limit + 1):
        if not remaining:
            return
        best = _best(scores, remaining)
        chances = _chances(best, scored, remaining, policy.exploration)
        picked = _pick(chances, uniform_draw(seed, rank))
        chosen = remaining[picked]
        yield Ranked(chosen, rank, chances[picked], chosen != best)
        group = scored[chosen].group if policy.unique_groups else ""
        remaining = [i for i in remaining if i != chosen and (not group or scored[i].group != group)]


def decide(scored: Sequence[Scored], policy: Policy, seed: int) -> Decision:
    """Draw a slate. The same candidates, policy and seed give the same slate, byte for byte (law 6)."""
    slate = tuple(_positions(scored, policy, seed))
    product = 1.0
    for ranked in slate:
        product *= ranked.propensity
    return Decision(slate, product, any(ranked.explored for ranked in slate))
