"""The catalogue: actions, placements, contact policy and outreach queues as frozen values, with their rules compiled.
Knows nothing of files or of people; the configuration comes in as plain data and every error names its place."""

from collections.abc import Mapping
from typing import Any

import msgspec
from cel_expr_python import cel

from engine.errors import InvalidCatalogue
from engine.signals import CHANNELS

FACTS = ("traits", "signals", "context")
_ENVIRONMENT = cel.NewEnv(variables={name: cel.Type.Map(cel.Type.STRING, cel.Type.DYN) for name in FACTS})
EXPLORATIONS = frozenset({"none", "epsilon", "uniform"})


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that can be done for a customer. `value` and `cost` in money of the installation's currency per
    acceptance; `when` is a CEL expression over traits, signals and context; times are ISO 8601 dates."""

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


class Exploration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a placement learns: `epsilon` draws a share of positions uniformly over explorable candidates."""

    kind: str = "none"
    share: float = 0.0


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where actions are shown. `contact` says whether showing one approaches the customer (caps and quiet hours)."""

    id: str
    channel: str
    limit: int = 1
    exploration: Exploration = Exploration()
    contact: bool = False
    unique_groups: bool = True


class ContactPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Caps per window (`1d`, `7d`, `30d`) over all approaches and per channel, quiet hours [start, end) local time,
    and days of rest for an action after the customer declined it."""

    caps: dict[str, int] = {}
    channel_caps: dict[str, dict[str, int]] = {}
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
    """The catalogue file as it is written."""

    version: str
    actions: tuple[Action, ...]
    placements: tuple[Placement, ...]
    contact_policy: ContactPolicy = ContactPolicy()
    queues: tuple[Queue, ...] = ()
    segment: str = "'all'"
    language: str = "en"


class Facts:
    """The values rules may look at; building it once lets every rule of a decision share the conversion."""

    def __init__(self, traits: Mapping[str, Any], signals: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.activation = _ENVIRONMENT.Activation({"traits": traits, "signals": signals, "context": context})


class Rule:
    """A compiled CEL expression. Whatever cannot be evaluated (a masked or missing value) is not true."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._compiled = None if source.strip() == "true" else _compile(source)

    def holds(self, facts: Facts) -> bool:
        if self._compiled is None:
            return True
        return self._compiled.eval(facts.activation).value() is True

    def number(self, facts: Facts) -> float | None:
        value = 1.0 if self._compiled is None else self._compiled.eval(facts.activation).value()
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, facts: Facts) -> str | None:
        if self._compiled is None:
            return None
        result = self._compiled.eval(facts.activation)
        # an evaluation error also has text (its message); only its type tells it from a value
        return str(result.value()) if result.type() == cel.Type.STRING else None


def _compile(source: str) -> Any:
    try:
        return _ENVIRONMENT.compile(source)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from error


class Catalogue:
    """The validated catalogue with compiled rules, in the order of its file."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.version = documents.version
        self.actions = {action.id: action for action in documents.actions}
        self.placements = {placement.id: placement for placement in documents.placements}
        self.queues = {queue.id: queue for queue in documents.queues}
        self.policy = documents.contact_policy
        self.rules = {action.id: Rule(action.when) for action in documents.actions}
        self.queue_rules = {q.id: (Rule(q.when), Rule(q.urgency)) for q in documents.queues}
        self.segment = Rule(documents.segment)
        self.categories = tuple(sorted({action.category for action in documents.actions}))
        self._placed = {p: tuple(a for a in documents.actions if p in a.placements) for p in self.placements}

    def placed(self, placement: str) -> tuple[Action, ...]:
        return self._placed[placement]


def _check_action(path: str, action: Action, placements: frozenset[str]) -> None:
    problems = {
        "channels": [c for c in action.channels if c not in CHANNELS],
        "placements": [p for p in action.placements if p not in placements],
    }
    for field, wrong in problems.items():
        if wrong:
            raise InvalidCatalogue(f"{path}.{field}", f"unknown {field}: {', '.join(wrong)}")
    if not 0.0 <= action.prior_rate <= 1.0:
        raise InvalidCatalogue(f"{path}.prior_rate", "must lie between 0 and 1")
    if not action.content:
        raise InvalidCatalogue(f"{path}.content", "needs at least one language")


def _check_rule(path: str, source: str) -> None:
    try:
        Rule(source)
    except ValueError as error:
        raise InvalidCatalogue(path, str(error)) from error


def _check_unique(path: str, ids: list[str]) -> None:
    for index, one in enumerate(ids):
        if one in ids[:index]:
            raise InvalidCatalogue(f"{path}[{index}].id", f"{one} is used twice")


def parse_catalogue(data: Any) -> Catalogue:
    """Validate plain data (as read from YAML) into a catalogue. Raises `InvalidCatalogue` naming the place."""
    try:
        documents = msgspec.convert(data, Documents)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise InvalidCatalogue(path.rstrip("`").lstrip(".") or "catalogue", message) from error
    placements = frozenset(p.id for p in documents.placements)
    for index, action in enumerate(documents.actions):
        _check_action(f"actions[{index}]", action, placements)
        _check_rule(f"actions[{index}].when", action.when)
    for index, placement in enumerate(documents.placements):
        if placement.exploration.kind not in EXPLORATIONS or not 0.0 <= placement.exploration.share <= 1.0:
            raise InvalidCatalogue(f"placements[{index}].exploration", "kind is none, epsilon or uniform; share 0 to 1")
    _check_queues(documents)
    _check_unique("actions", [a.id for a in documents.actions])
    _check_unique("placements", [p.id for p in documents.placements])
    _check_rule("segment", documents.segment)
    return Catalogue(documents)


def _check_queues(documents: Documents) -> None:
    known = {action.id for action in documents.actions}
    for index, queue in enumerate(documents.queues):
        for field, source in (("when", queue.when), ("urgency", queue.urgency)):
            _check_rule(f"queues[{index}].{field}", source)
        wrong = [a for a in queue.actions if a not in known]
        if wrong:
            raise InvalidCatalogue(f"queues[{index}].actions", f"unknown actions: {', '.join(wrong)}")
