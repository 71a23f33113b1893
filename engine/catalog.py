"""The catalogue: actions, placements, contact policy and outreach queues as frozen values, with their rules compiled.
Knows nothing of files or of people; the configuration comes in as plain data and every error names its place."""

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from engine.errors import InvalidCatalogue
from engine.limits import WINDOWS
from engine.outcome import DEFAULT_REWARDS, KINDS
from engine.rules import Rule, RuleList
from engine.signals import LONGEST_CATEGORY, WAYS

_PLACE = re.compile(r" - at (?:key in )?`\$\.?(.*?)`$")
Problem = tuple[str, str]
EXPLORATIONS = frozenset({"none", "epsilon", "uniform", "softmax", "thompson"})
FITTING = ("applicability", "suitability")
MIXED, LEAST_SHARE = frozenset({"softmax", "thompson"}), 0.01


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that can be done for a customer. `value` and `cost` in money of the installation's currency per
    acceptance; times are ISO 8601 dates. Three CEL expressions over traits, signals and context: `when` (eligibility:
    may this customer have it), `applicability` (does it make sense now), `suitability` (is it right for this customer).
    What `needs_human` is only ever suggested to a person: at a placement without `human: true` it is held back. `cap`
    is per window (`1d`, `7d`, `30d`), at every placement and over every time it was shown, a contact or not."""

    id: str
    title: str
    category: str
    purpose: str
    channels: tuple[str, ...]
    placements: tuple[str, ...]
    content: dict[str, str]
    value: float
    prior_rate: float
    cost: float = 0.0
    explorable: bool = True
    group: str = ""
    when: str = "true"
    start: str | None = None
    end: str | None = None
    cap: dict[str, int] = {}
    lever: float = 1.0
    weights: dict[str, float] = {}
    applicability: str = "true"
    suitability: str = "true"
    needs_human: bool = False


class Exploration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a placement learns. `epsilon` draws a share of positions uniformly over explorable candidates. `softmax`
    draws the others the more often the better they score: an action a `temperature` (a share of the best score) below
    the best is e times rarer. `thompson` draws each position from one member of the model's ensemble. Both of these are
    mixed with a share of at least 0.01, so that nothing has probability zero by accident."""

    kind: str = "none"
    share: float = 0.0
    temperature: float = 0.1


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where actions are shown. `contact` says whether showing one approaches the customer (caps and quiet hours;
    elsewhere what is shown counts against nothing but the action's own `cap`), `human` that a person sees the answer
    first and decides whether to follow it: a machine never does."""

    id: str
    channel: str
    limit: int = 1
    exploration: Exploration = Exploration()
    contact: bool = False
    unique_groups: bool = True
    human: bool = False


class ContactPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Caps per window (`1d`, `7d`, `30d`) over all approaches, per channel and per group of actions, quiet hours
    [start, end) local time, and days of rest for an action after the customer declined it. An approach that was decided
    on counts for `reservation_hours`, made or not."""

    caps: dict[str, int] = {}
    channel_caps: dict[str, dict[str, int]] = {}
    group_caps: dict[str, dict[str, int]] = {}
    reservation_hours: float = 24.0
    quiet_start: int = 21
    quiet_end: int = 8
    quiet_channels: tuple[str, ...] = ("voice", "sms")
    default_zone: str = "UTC"
    rest_after_decline_days: int = 14


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proactive outreach list: whom (`when`), what (`actions`), how, and how urgency grows (a CEL number)."""

    id: str
    title: str
    channel: str
    placement: str
    actions: tuple[str, ...]
    when: str = "true"
    urgency: str = "1.0"


class Documents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The catalogue file as it is written. `rewards` says by kind what an outcome is worth, from -1 to 1."""

    version: str
    actions: tuple[Action, ...]
    placements: tuple[Placement, ...]
    contact_policy: ContactPolicy = ContactPolicy()
    queues: tuple[Queue, ...] = ()
    segment: str = "'all'"
    language: str = "en"
    rewards: dict[str, float] = msgspec.field(default_factory=lambda: dict(DEFAULT_REWARDS))


def instant(day: str | None, otherwise: int) -> int:
    """The moment (ms) an ISO 8601 date or time stands for, UTC where it names no zone."""
    if day is None:
        return otherwise
    moment = datetime.fromisoformat(day)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def digest_of(value: msgspec.Struct) -> str:
    """What a configured value is, whatever its author calls it: a hash of its content in the order it was written."""
    return digest_of_bytes(msgspec.json.encode(value))


def digest_of_bytes(written: bytes) -> str:
    return hashlib.sha256(written).hexdigest()[:32]


def _fitting(action: Action) -> Iterator[tuple[str, Rule]]:
    """The rules beside eligibility that an action has: what is not written costs no decision anything."""
    sources = ((name, getattr(action, name)) for name in FITTING)
    return ((name, Rule(source)) for name, source in sources if source.strip() != "true")


class Eligibility(msgspec.Struct, frozen=True, eq=False):
    """The rules of a placement's actions of one purpose, and the places of those actions."""

    purpose: str
    places: tuple[int, ...]
    rules: RuleList


class Catalogue:
    """The validated catalogue with compiled rules, in the order of its file. `digest` names its content."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.version = documents.version
        self.digest = digest_of(documents)
        self.actions = {action.id: action for action in documents.actions}
        self.placements = {placement.id: placement for placement in documents.placements}
        self.queues = {queue.id: queue for queue in documents.queues}
        self.policy = documents.contact_policy
        self.rewards = documents.rewards
        self.rules = {action.id: Rule(action.when) for action in documents.actions}
        self.fitting = {action.id: tuple(_fitting(action)) for action in documents.actions}
        self.queue_rules = {q.id: (Rule(q.when), Rule(q.urgency)) for q in documents.queues}
        self.segment = Rule(documents.segment)
        self.weight_keys = frozenset(key for action in documents.actions for key in action.weights)
        self.categories = tuple(sorted({action.category for action in documents.actions}))
        self._placed = {p: tuple(a for a in documents.actions if p in a.placements) for p in self.placements}
        self._eligibility = {placement: tuple(self._by_purpose(actions)) for placement, actions in self._placed.items()}

    def placed(self, placement: str) -> tuple[Action, ...]:
        return self._placed[placement]

    def eligibility(self, placement: str) -> tuple[Eligibility, ...]:
        """The rules of the actions placed there, together for each purpose."""
        return self._eligibility[placement]

    def _by_purpose(self, actions: Sequence[Action]) -> Iterator[Eligibility]:
        for purpose in dict.fromkeys(action.purpose for action in actions):
            places = tuple(place for place, action in enumerate(actions) if action.purpose == purpose)
            yield Eligibility(purpose, places, RuleList([self.rules[actions[place].id] for place in places]))


def _unknown(field: str, names: Iterable[str], known: Collection[str]) -> Iterator[Problem]:
    wrong = [name for name in names if name not in known]
    if wrong:
        yield field, f"unknown: {', '.join(wrong)}; known are {', '.join(sorted(known))}"


def _bad_caps(field: str, caps: Mapping[str, int]) -> Iterator[Problem]:
    yield from _unknown(field, caps, WINDOWS)
    if any(most < 0 for most in caps.values()):
        yield field, "a cap is 0 or more"


def _bad_time(field: str, day: str | None) -> Iterator[Problem]:
    try:
        instant(day, 0)
    except ValueError:
        yield field, "not an ISO 8601 date or time; write for example 2026-01-31"


def _bad_number(field: str, number: float, most: float = math.inf) -> Iterator[Problem]:
    if not math.isfinite(number) or not 0.0 <= number <= most:
        yield field, "must be a number of 0 or more" if most == math.inf else f"must lie between 0 and {most:g}"


def _action_problems(action: Action, placements: Collection[str]) -> Iterator[Problem]:
    yield from _unknown("channels", action.channels, WAYS)
    yield from _unknown("placements", action.placements, placements)
    yield from _bad_caps("cap", action.cap)
    yield from _bad_time("start", action.start)
    yield from _bad_time("end", action.end)
    yield from _bad_number("prior_rate", action.prior_rate, 1.0)
    for field in ("value", "cost", "lever"):
        yield from _bad_number(field, getattr(action, field))
    for name, weight in action.weights.items():
        yield from _bad_number(f"weights.{name}", weight)
    if not action.content:
        yield "content", "needs at least one language"
    if not 0 < len(action.category) <= LONGEST_CATEGORY:
        yield "category", f"is 1 to {LONGEST_CATEGORY} characters long"


def _placement_problems(placement: Placement) -> Iterator[Problem]:
    yield from _unknown("channel", [placement.channel], WAYS)
    yield from _unknown("exploration.kind", [placement.exploration.kind], EXPLORATIONS)
    yield from _bad_number("exploration.share", placement.exploration.share, 1.0)
    yield from _exploration_problems(placement.exploration)
    if placement.limit < 1:
        yield "limit", "must be 1 or more"


def _exploration_problems(exploration: Exploration) -> Iterator[Problem]:
    if exploration.kind in MIXED and exploration.share < LEAST_SHARE:
        yield (
            "exploration.share",
            f"is at least {LEAST_SHARE:g} with {exploration.kind}, so that everything has a chance",
        )
    if not math.isfinite(exploration.temperature) or exploration.temperature <= 0.0:
        yield "exploration.temperature", "must be a number above 0"


def _policy_problems(policy: ContactPolicy) -> Iterator[Problem]:
    yield from _bad_caps("caps", policy.caps)
    yield from _unknown("channel_caps", policy.channel_caps, WAYS)
    for channel, caps in policy.channel_caps.items():
        yield from _bad_caps(f"channel_caps.{channel}", caps)
    for group, caps in policy.group_caps.items():
        yield from _bad_caps(f"group_caps.{group}", caps)
    yield from _bad_number("reservation_hours", policy.reservation_hours, 720.0)
    yield from _unknown("quiet_channels", policy.quiet_channels, WAYS)
    yield from _bad_number("quiet_start", policy.quiet_start, 23)
    yield from _bad_number("quiet_end", policy.quiet_end, 23)
    yield from _bad_number("rest_after_decline_days", policy.rest_after_decline_days)
    try:
        ZoneInfo(policy.default_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield "default_zone", "not a time zone; write for example Europe/Berlin"


def _queue_problems(queue: Queue, actions: Collection[str], placements: Collection[str]) -> Iterator[Problem]:
    yield from _unknown("actions", queue.actions, actions)
    yield from _unknown("placement", [queue.placement], placements)
    yield from _unknown("channel", [queue.channel], WAYS)


def _rule_problems(field: str, source: str) -> Iterator[Problem]:
    try:
        Rule(source)
    except ValueError as error:
        yield field, str(error)


def _repeated(name: str, ids: Sequence[str]) -> Iterator[Problem]:
    for index, one in enumerate(ids):
        if one in ids[:index]:
            yield f"{name}[{index}].id", f"{one} is used twice"


def _under(path: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    return ((f"{path}.{field}", message) for field, message in problems)


def _problems(documents: Documents) -> Iterator[Problem]:
    """Everything that is wrong with the catalogue, as (place, sentence), in the order of its file."""
    actions, placements = {a.id for a in documents.actions}, {p.id for p in documents.placements}
    attended = {p.id for p in documents.placements if p.human}
    for index, action in enumerate(documents.actions):
        yield from _under(f"actions[{index}]", _action_problems(action, placements))
        for field in ("when", *FITTING):
            yield from _rule_problems(f"actions[{index}].{field}", getattr(action, field))
        if action.needs_human and not attended.intersection(action.placements):
            yield f"actions[{index}].needs_human", "none of its placements has `human: true`, so nobody would see it"
    for index, placement in enumerate(documents.placements):
        yield from _under(f"placements[{index}]", _placement_problems(placement))
    yield from _under("contact_policy", _policy_problems(documents.contact_policy))
    for index, queue in enumerate(documents.queues):
        yield from _under(f"queues[{index}]", _queue_problems(queue, actions, placements))
        yield from _rule_problems(f"queues[{index}].when", queue.when)
        yield from _rule_problems(f"queues[{index}].urgency", queue.urgency)
    for name in ("actions", "placements", "queues"):
        yield from _repeated(name, [one.id for one in getattr(documents, name)])
    yield from _rule_problems("segment", documents.segment)
    yield from _unknown("rewards", documents.rewards, KINDS)
    for kind, worth in documents.rewards.items():
        yield from _bad_number(f"rewards.{kind}", abs(worth), 1.0)


def parse_catalogue(data: Any) -> Catalogue:
    """Validate plain data (as read from YAML) into a catalogue. Raises `InvalidCatalogue` naming the first place."""
    try:
        documents = msgspec.convert(data, Documents)
    except msgspec.ValidationError as error:
        found = _PLACE.search(str(error))
        raise InvalidCatalogue(found[1] if found and found[1] else "catalogue", _PLACE.sub("", str(error))) from error
    for path, message in _problems(documents):
        raise InvalidCatalogue(path, message)
    return Catalogue(documents)
